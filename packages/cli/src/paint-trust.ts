import type { TrustState } from './owner/trust-state.ts'
import type { Painter } from './paint.ts'

/** The word in its colour: green is for `verified` alone. */
export function paintTrust(trust: TrustState, painter: Painter): string {
  switch (trust) {
    case 'verified':
      return painter.green(trust)
    case 'simulated':
      return painter.violet(trust)
    case 'failed':
      return painter.red(trust)
    case 'stale':
    case 'degraded':
    case 'debug':
      return painter.yellow(trust)
    case 'unattested':
      return painter.dim(trust)
    default:
      return trust satisfies never
  }
}

/** One sentence on what the state means. */
export function trustMeaning(trust: TrustState): string {
  switch (trust) {
    case 'verified':
      return 'hardware vouches for this guest, and it runs what you registered'
    case 'stale':
      return 'it was in order once; an endorsement has expired since'
    case 'degraded':
      return 'in order, with warnings: see the checks'
    case 'debug':
      return 'booted for debugging: the host may look inside'
    case 'simulated':
      return 'simulation: the same steps as on hardware, but memory is not encrypted and nothing is protected'
    case 'failed':
      return 'at least one check failed: do not trust it'
    case 'unattested':
      return 'nothing is known'
    default:
      return trust satisfies never
  }
}
