/** What is left of a VM whose QEMU is gone. */
import { hostBootId, killProcess, untilGone } from './process-identity.ts'
import { removeTap, tapName } from './machine/tap.ts'
import { removeDirectories } from './vm-files.ts'
import type { VmDirectories, VmState } from './vm-spec.ts'

/** swtpm writes its state down and ends when QEMU's connection does. */
const VTPM_END_MS = 2_000

/** Ends its swtpm, removes its network card and its directories. Its persistent files are the caller's. */
export async function removeTraces(
  state: VmDirectories & Pick<VmState, 'vtpm' | 'bootId'>,
): Promise<void> {
  const { vtpm, bootId } = state
  if (vtpm !== undefined && bootId === (await hostBootId())) {
    if (!(await untilGone(vtpm, VTPM_END_MS))) await killProcess(vtpm)
  }
  await removeTap(tapName(state.runtimeDirectory))
  await removeDirectories(state)
}
