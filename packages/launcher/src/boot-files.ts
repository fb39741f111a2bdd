/** Which of the two ways a VM boots. */
import { CloisterError } from '@cloister/protocol/error'
import type { BootFiles, FirmwareBoot, VmSpec } from './vm-spec.ts'

export function isFirmwareBoot(boot: VmSpec['boot']): boot is FirmwareBoot {
  return 'code' in boot
}

/** @throws CloisterError `tee.machine-unfit` for a guest that boots by firmware */
export function bootFiles({ boot, tee }: VmSpec): BootFiles {
  if (!isFirmwareBoot(boot)) return boot
  throw new CloisterError('tee.machine-unfit', { where: tee, received: 'a boot by firmware' })
}
