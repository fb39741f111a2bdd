/** What the end of a QEMU means for its machine. */
import { CloisterError } from '@cloister/protocol/error'
import type { VmView } from '@cloister/protocol/hostd-vm-api'
import type { VmExit } from '@cloister/launcher/vm-spec'
import { deathError, deathWords } from '../guest-death.ts'

export type MachineEnd =
  | { readonly state: 'stopped'; readonly why: string }
  | { readonly state: 'failed'; readonly error: NonNullable<VmView['error']> }

/** How a stop was asked for, as far as it was. */
export interface StopAsked {
  readonly force: boolean
  /** Whether the guest's time was over before it ended. */
  readonly isLate: boolean
}

export function endOf(exit: VmExit, stop: StopAsked | undefined): MachineEnd {
  if (exit.guestCode !== undefined) return failed(deathError(exit, exit.lastStage))
  switch (exit.reason) {
    case 'guest-shutdown':
      return { state: 'stopped', why: 'the guest shut itself down' }
    case 'stopped':
    case 'stop-killed':
      return { state: 'stopped', why: stopWords(exit, stop) }
    case 'guest-reset':
    case 'guest-panic':
    case 'killed':
    case 'qemu-failed':
      return failed(new CloisterError('vm.died', { why: deathWords(exit) }))
    case 'unknown':
      // Asked for, and done by a hostd before this one.
      return stop === undefined
        ? failed(new CloisterError('vm.died', { why: deathWords(exit) }))
        : { state: 'stopped', why: 'it was stopped' }
    default:
      return exit.reason satisfies never
  }
}

/** The end of a machine whose QEMU was gone when hostd looked for it. */
export function lostEnd(isOtherBoot: boolean): MachineEnd {
  const why = isOtherBoot
    ? 'the host was restarted while it ran'
    : 'it ended while no hostd ran, and nobody saw how'
  return failed(new CloisterError('vm.died', { why }))
}

export function failed(error: CloisterError): MachineEnd {
  return { state: 'failed', error: error.toJSON() }
}

function stopWords({ reason, stoodStill }: VmExit, stop: StopAsked | undefined): string {
  if (stop?.force === true) return 'it was ended at once, as asked'
  if (stoodStill === true) return 'it stood still, for the disk of the host is full, and was ended'
  if (stop?.isLate === true || reason === 'stop-killed')
    return 'it did not shut down in the time it had, and was ended'
  return 'it was asked to shut down, and did'
}
