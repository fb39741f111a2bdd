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

/** @throws CloisterError `tee.machine-unfit`; `vm.file-missing` for an image that has none */
export function unifiedKernel(spec: VmSpec): string {
  const { unifiedKernel: path } = bootFiles(spec)
  if (path !== undefined) return path
  throw new CloisterError('vm.file-missing', {
    where: 'unified kernel',
    why: 'the guest image was made without one',
    fix: ['cloister guest-image build --refresh, and make the VM anew: cloister vm create'],
  })
}
