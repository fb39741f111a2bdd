/** For commands that ask a VM which may have failed at its start. */
import type { HostdClient } from '@cloister/hostd/client'
import { CloisterError } from '@cloister/protocol/error'
import type { Invocation } from '../command.ts'
import { explainVmFailure } from './follow-start.ts'

/** @throws CloisterError why the VM failed in place of `vm.not-running`, and what else `work` throws */
export async function explainingFailure<Result>(
  name: string,
  vms: HostdClient['vms'],
  { directories, signal }: Pick<Invocation, 'directories' | 'signal'>,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof CloisterError && error.code === 'vm.not-running')) throw error
    const view = await vms.get(name, { signal })
    if (view.state !== 'failed') throw error
    throw await explainVmFailure(view, { directories, signal })
  }
}
