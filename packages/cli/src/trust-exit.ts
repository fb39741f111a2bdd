import type { TrustState } from './owner/trust-state.ts'

/** 2 when refused, 3 when undecided, else 0: the state itself says how far the trust goes. */
export function trustExit(trust: TrustState): 0 | 2 | 3 {
  if (trust === 'failed') return 2
  return trust === 'unattested' || trust === 'stale' ? 3 : 0
}
