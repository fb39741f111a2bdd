/** Started by `machine.test.ts` in a network namespace of its own: a machine on a bridge, which pings the host. */
import { execFile } from 'node:child_process'
import { access } from 'node:fs/promises'
import { promisify } from 'node:util'
import { tapName } from '../src/machine/tap.ts'
import { localHostView } from '../src/probe/host-view.ts'
import { askQemu } from '../src/qemu-capabilities.ts'
import { startVm } from '../src/start-vm.ts'
import type { VmSpec } from '../src/vm-spec.ts'
import { SerialConsole } from '../src/testing/machine-disk.ts'

const run = promisify(execFile)
const spec = JSON.parse(process.argv[2] ?? '') as VmSpec
const tap = `/sys/class/net/${tapName(spec.runtimeDirectory)}`
const isThere = () =>
  access(tap).then(
    () => true,
    () => false,
  )

await run('mount', ['-t', 'sysfs', 'sysfs', '/sys'])
await run('ip', ['link', 'add', 'br0', 'type', 'bridge'])
await run('ip', ['address', 'add', '10.9.9.1/24', 'dev', 'br0'])
await run('ip', ['link', 'set', 'br0', 'up'])
const vm = await startVm(
  { ...spec, hostData: new Uint8Array(32) },
  {
    qemu: await askQemu(),
    accelerator: 'tcg',
    view: localHostView(),
    openSimulator: () => Promise.reject(new Error('not used')),
  },
)
await using _ = vm
using serial = new SerialConsole(vm.sockets.console)
await serial.until('machine: up', 180_000)
await serial.run('ip address add 10.9.9.2/24 dev eth0; ip link set eth0 up')
const mac = await serial.run('cat /sys/class/net/eth0/address')
const ping = await serial.run('ping -c 1 -w 30 10.9.9.1 >/dev/null && echo reached')
const before = await isThere()
await vm.stop({ force: true })
process.stdout.write(JSON.stringify({ mac, ping, before, after: await isThere() }))
