/** All TEE drivers. A new TEE is one file and one line here. */
import type { TeeId } from '../vm-spec.ts'
import type { TeeDriver } from './driver.ts'
import { none } from './none.ts'
import { se } from './se.ts'
import { sev, sevEs } from './sev.ts'
import { simulated } from './simulated.ts'
import { snp } from './snp.ts'
import { tdx } from './tdx.ts'

export const DRIVERS: Readonly<Record<TeeId, TeeDriver>> = {
  snp,
  tdx,
  'sev-es': sevEs,
  sev,
  se,
  simulated,
}

export function driverOf(tee: TeeId | 'none'): TeeDriver {
  return tee === 'none' ? none : DRIVERS[tee]
}
