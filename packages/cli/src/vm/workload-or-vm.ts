/** For commands that take the name of a workload or of a VM. */
import { CloisterError } from '@cloister/protocol/error'

/**
 * Tries the workload first.
 *
 * @throws what either throws; the workload's `workload.not-found` where there is no VM of that name either
 */
export async function workloadOrVm<Result>(
  workload: () => Promise<Result>,
  vm: () => Promise<Result>,
): Promise<Result> {
  try {
    return await workload()
  } catch (error) {
    if (!isCode(error, 'workload.not-found')) throw error
    return await vm().catch((other: unknown) => {
      throw isCode(other, 'vm.not-found') ? error : other
    })
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof CloisterError && error.code === code
}
