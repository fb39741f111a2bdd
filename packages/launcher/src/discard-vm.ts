/** Ends a VM that cannot be adopted. */
import { hostBootId, killProcess } from './process-identity.ts'
import { removeTraces } from './remove-traces.ts'
import type { VmState } from './vm-spec.ts'

/** Kills its QEMU if that still is the process of the state, and removes its files. */
export async function discardVm(state: VmState): Promise<void> {
  if (state.bootId === (await hostBootId())) await killProcess(state.process)
  await removeTraces(state)
}
