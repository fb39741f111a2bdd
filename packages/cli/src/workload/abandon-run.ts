/** What becomes of a workload when the `run` that started it is interrupted or fails: nobody asked for a guest that goes on by itself. */
import type { HostdClient } from '@cloister/hostd/client'
import { CloisterError } from '@cloister/protocol/error'

/** So long a container may take to end by itself before its VM is ended, milliseconds; who pressed Ctrl-C waits. */
const GRACE_MS = 5_000

/** Ends and removes a workload of that name; nothing happens where there is none. */
export async function clearWorkload(hostd: HostdClient, name: string): Promise<void> {
  await hostd
    .stop(name, { force: true })
    .catch(unless('workload.not-running', 'workload.not-found'))
  await hostd.remove(name).catch(unless('workload.not-found'))
}

/**
 * Ctrl-C in front of a workload that runs: it is asked to end, and its record stays, with its logs and exit code.
 *
 * @returns the interruption, which says so
 */
export async function stopInterrupted(hostd: HostdClient, name: string): Promise<CloisterError> {
  await hostd.stop(name, { timeoutMs: GRACE_MS }).catch(unless('workload.not-running'))
  return new CloisterError('cli.interrupted', {
    why: `a signal asked the command to end, and it stopped ${name}; with --detach it would go on`,
    fix: [`cloister logs ${name}`, `cloister rm ${name}`],
  })
}

/** For `catch`: throws on what has none of these codes. */
export function unless(...codes: readonly string[]) {
  return (error: unknown) => {
    if (!(error instanceof CloisterError && codes.includes(error.code))) throw error
  }
}
