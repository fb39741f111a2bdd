/** Why a VM ended, from what QEMU told and how its process ended. */
import type { VmExitReason } from './vm-spec.ts'

export interface EndSigns {
  /** `reason` of QMP's last SHUTDOWN event (ShutdownCause of QEMU's schema). Absent: none came. */
  readonly shutdownReason: string | undefined
  /** What `stop()` had come to. */
  readonly stop: 'asked' | 'killed' | undefined
  /** Whether QEMU was killed because its guest could not go on. */
  readonly isDead: boolean
  /** Of `cloister vm`; its guest may ask for a restart. Absent: no. */
  readonly isMachine?: boolean
  readonly exitCode?: number
  readonly signal?: string
}

export function exitReason(signs: EndSigns): VmExitReason {
  if (signs.isDead) return 'qemu-failed'
  if (signs.stop === 'killed') return 'stop-killed'
  if (signs.stop === 'asked') return 'stopped'
  switch (signs.shutdownReason) {
    case 'guest-shutdown':
      return 'guest-shutdown'
    // `-action reboot=shutdown`: the panicking kernel (panic=-1) resets the machine.
    case 'guest-reset':
      return signs.isMachine === true ? 'guest-reset' : 'guest-panic'
    case 'guest-panic':
      return 'guest-panic'
    case 'host-signal':
      return 'killed'
    default:
  }
  if (signs.signal !== undefined) return 'killed'
  if (signs.exitCode !== undefined && signs.exitCode !== 0) return 'qemu-failed'
  return 'unknown'
}
