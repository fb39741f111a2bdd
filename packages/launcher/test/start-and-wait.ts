/** Started by `vm.test.ts` as a process of its own that is then killed: starts the VM in argv, prints its state and waits. */
import { localHostView } from '../src/probe/host-view.ts'
import { askQemu } from '../src/qemu-capabilities.ts'
import { startVm } from '../src/start-vm.ts'
import type { VmSpec } from '../src/vm-spec.ts'

const spec = JSON.parse(process.argv[2] ?? '') as VmSpec
const vm = await startVm(
  { ...spec, hostData: new Uint8Array(32) },
  {
    qemu: await askQemu(),
    accelerator: 'tcg',
    view: localHostView(),
    openSimulator: () => Promise.reject(new Error('not used')),
  },
)
process.stdout.write(`${JSON.stringify(vm.state)}\n`)
await vm.exited
