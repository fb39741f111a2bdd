/** The launch digest that SNP hardware would report for the QEMU that really runs. */
import { predictSnpLaunchDigest } from '@cloister/verifier/snp/launch-digest'
import { bootFiles } from '../boot-files.ts'
import { firmwareError, readFirmware, vcpuTypeOf } from '../drivers/measured-files.ts'
import type { VmSpec } from '../vm-spec.ts'
import { readLaunchInputs } from './launch-inputs.ts'

/**
 * Of the description only firmware and vCPU type are used: a simulated guest does not really have them, so they are parameters. All
 * else is what that QEMU holds.
 * @param pid - of a QEMU that stands still
 * @returns 48 bytes
 * @throws CloisterError `simulator.launch-unmeasurable`, `tee.firmware-missing`, `tee.firmware-unfit`, `vm.spec-invalid`
 */
export async function measureLaunch(pid: number, spec: VmSpec): Promise<Uint8Array> {
  const vcpuType = vcpuTypeOf(spec)
  const [firmware, { cpus, ...kernelHashes }] = await Promise.all([
    readFirmware(bootFiles(spec).firmware),
    readLaunchInputs(pid),
  ])
  try {
    return await predictSnpLaunchDigest({ firmware, kernelHashes, vcpuType, vcpus: cpus })
  } catch (error) {
    throw firmwareError(error)
  }
}
