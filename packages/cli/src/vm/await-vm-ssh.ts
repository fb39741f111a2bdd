/** Waits for the ssh server of a VM, and shows meanwhile what is waited for. */
import type { HostdClient } from '@cloister/hostd/client'
import type { VmView } from '@cloister/protocol/hostd-vm-api'
import type { Output } from '../output.ts'
import { awaitSsh, sshTarget, type SshTarget } from './ssh-session.ts'
import { vmStateCell } from './vm-text.ts'

/** @throws CloisterError `vm.ssh-*`, `vm.not-found`, also when the VM ends meanwhile */
export async function awaitVmSsh(
  view: VmView,
  vms: Pick<HostdClient['vms'], 'get'>,
  {
    timeoutMs,
    output,
    signal,
  }: {
    readonly timeoutMs: number
    readonly output: Pick<Output, 'waiting'>
    readonly signal: AbortSignal
  },
): Promise<SshTarget> {
  const target = sshTarget(view)
  let shown: string | undefined
  const check = async () => {
    const now = await vms.get(view.name, { signal })
    sshTarget(now)
    const line = `  ...      ssh of ${view.name}: ${progress(now)}`
    // Its time goes on while the line stays the same.
    if (line !== shown) output.waiting(line)
    shown = line
  }
  try {
    await awaitSsh(target, { timeoutMs, signal, check })
  } finally {
    output.waiting(undefined)
  }
  return target
}

function progress(view: VmView): string {
  const stage = view.stages.at(-1)
  return stage === undefined ? vmStateCell(view) : `${vmStateCell(view)}, after ${stage.name}`
}
