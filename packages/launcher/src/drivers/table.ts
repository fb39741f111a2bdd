/** All TEE drivers. A new TEE is one file and one line here. */
import { CloisterError } from '@cloister/protocol/error'
import type { TeeId } from '../vm-spec.ts'
import type { TeeDriver } from './driver.ts'
import { simulated } from './simulated.ts'

const DRIVERS: Readonly<Partial<Record<TeeId, TeeDriver>>> = { simulated }

/** @throws CloisterError `tee.unknown` */
export function driverFor(id: TeeId): TeeDriver {
  const driver = DRIVERS[id]
  if (driver === undefined) throw new CloisterError('tee.unknown', { received: id })
  return driver
}
