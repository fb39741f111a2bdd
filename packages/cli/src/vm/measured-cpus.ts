/** How many vCPUs a VM with a measured boot may have. */
import { CloisterError } from '@cloister/protocol/error'
import { MEASURED_VCPU_COUNTS } from '@cloister/protocol/guest-image-manifest'
import { bootOf, type VmTee } from '@cloister/protocol/hostd-vm-api'

/** MRTD, RTMR1 and RTMR2 do not speak of vCPUs; the launch digest of SNP does. @throws CloisterError `vm.combination-unfit` */
export function requireMeasuredCpus(tee: VmTee, cpus: number): void {
  if (bootOf(tee) !== 'measured' || tee === 'tdx') return
  if (MEASURED_VCPU_COUNTS.some((count) => count === cpus)) return
  throw new CloisterError('vm.combination-unfit', {
    received: `--cpus ${cpus} with --tee ${tee}`,
    expected: MEASURED_VCPU_COUNTS.join(', '),
    why: 'the number of vCPUs is in the launch digest, and digests are made for these',
  })
}
