/** What the end of a VM means for its workload. */
import { CloisterError } from '@cloister/protocol/error'
import type { VmExit, VmExitReason } from '@cloister/launcher/vm-spec'
import { guestCode } from '@cloister/protocol/guest-code'
import { guestPlace } from './guest-place.ts'

const REASONS: Readonly<Record<VmExitReason, string>> = {
  'guest-shutdown': 'it powered itself off without a code',
  'guest-panic': 'its kernel panicked',
  'guest-reset': 'it asked for a restart',
  stopped: 'it was stopped',
  'stop-killed': 'it was stopped and had to be killed',
  killed: 'its QEMU was killed from outside',
  'qemu-failed': 'its QEMU failed',
  unknown: 'it ended, and nobody saw how',
}

/**
 * @param lastStage - the last stage known to hostd; the exit's own, when it has one, wins
 * @returns the error with the guest's own code when it gave one, else `guest.died`
 */
export function deathError(exit: VmExit, lastStage: string | undefined): CloisterError {
  const where = guestPlace(exit.lastStage ?? lastStage)
  const { guestCode: received } = exit
  if (received !== undefined) {
    const code = guestCode(received)
    return code === undefined
      ? new CloisterError('guest.code-unknown', { where, received })
      : new CloisterError(code, { where })
  }
  return new CloisterError('guest.died', { where, why: deathWords(exit) })
}

/** How a VM ended, in words. */
export function deathWords({ reason, signal, exitCode, qemuSaid }: VmExit): string {
  const details = [
    signal === undefined ? undefined : `signal ${signal}`,
    exitCode === undefined || exitCode === 0 ? undefined : `exit code ${exitCode}`,
    qemuSaid === undefined || qemuSaid === '' ? undefined : qemuSaid.slice(-300),
  ].filter((detail) => detail !== undefined)
  return details.length === 0 ? REASONS[reason] : `${REASONS[reason]} (${details.join('; ')})`
}
