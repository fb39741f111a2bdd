/** The launch digest that SNP hardware would report for the QEMU that really runs. */
import { readFile } from 'node:fs/promises'
import { CloisterError } from '@cloister/protocol/error'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { isVcpuType } from '@cloister/verifier/launch/vcpu-types'
import { predictSnpLaunchDigest } from '@cloister/verifier/snp/launch-digest'
import { fileError } from '../vm-files.ts'
import { readLaunchInputs } from './launch-inputs.ts'

/** What a simulated guest does not really have: parameters of the simulation. */
export interface AssumedPlatform {
  /** Path of the AmdSev firmware. */
  readonly firmware: string | undefined
  readonly vcpuType: string
}

/**
 * @param pid - of a QEMU that stands still
 * @returns 48 bytes
 * @throws CloisterError `simulator.launch-unmeasurable`, `tee.firmware-missing`, `tee.firmware-unfit`, `vm.spec-invalid`
 */
export async function measureLaunch(pid: number, assumed: AssumedPlatform): Promise<Uint8Array> {
  const { vcpuType } = assumed
  if (!isVcpuType(vcpuType))
    throw new CloisterError('vm.spec-invalid', { where: 'vcpuType', received: vcpuType })
  if (assumed.firmware === undefined) throw new CloisterError('tee.firmware-missing')
  const [firmware, { cpus, ...kernelHashes }] = await Promise.all([
    readFirmware(assumed.firmware),
    readLaunchInputs(pid),
  ])
  try {
    return await predictSnpLaunchDigest({ firmware, kernelHashes, vcpuType, vcpus: cpus })
  } catch (error) {
    // FormatError: no tables; RangeError: no room for the hashes.
    if (!(error instanceof FormatError || error instanceof RangeError)) throw error
    throw new CloisterError('tee.firmware-unfit', { received: error.message, cause: error })
  }
}

async function readFirmware(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path)
  } catch (error) {
    throw fileError(error, path)
  }
}
