/**
 * What to expect in evidence of guests that run an image: launch digests of SNP for each attester mode, vCPU type and vCPU count on
 * offer. Computed from the image's own files, the command line and the firmware; no QEMU or processor takes part.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { CloisterError } from '@cloister/protocol/error'
import type { GuestImageManifest } from '@cloister/protocol/guest-image-manifest'
import { MEASURED_VCPU_COUNTS, MEASURED_VCPU_TYPES } from '@cloister/protocol/guest-image-manifest'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import type { SnpLaunch } from '@cloister/verifier/snp/launch-digest'
import { hashSnpFirmware, prepareSnpLaunch } from '@cloister/verifier/snp/launch-digest'

/** Modes that a guest can attest in; a probe never does. */
const MEASURED_MODES = ['hardware', 'simulated', 'debug'] as const

type Measured = Pick<GuestImageManifest, 'kernel' | 'initrd' | 'firmware' | 'commandLines'>
type Expected = GuestImageManifest['expected']['snp']

/**
 * @param directory - of the image; its firmware is read
 * @returns empty tables for an image without firmware: nothing is known then, so nothing will match
 * @throws CloisterError `guest-image.firmware-unfit`
 */
export async function predictions(directory: string, image: Measured): Promise<Expected> {
  const { snp } = image.firmware
  if (snp === undefined) return { hardware: {}, simulated: {}, debug: {} }
  const firmware = await readFile(join(directory, snp.file))
  try {
    return await measure(firmware, image)
  } catch (cause) {
    if (!(cause instanceof FormatError || cause instanceof RangeError)) throw cause
    const where = join(directory, snp.file)
    throw new CloisterError('guest-image.firmware-unfit', { where, why: cause.message, cause })
  }
}

async function measure(firmware: Uint8Array, image: Measured): Promise<Expected> {
  const firmwareSeed = await hashSnpFirmware(firmware)
  const tables = await Promise.all(
    MEASURED_MODES.map(async (mode) => {
      const kernelHashes = {
        kernelSha256: Buffer.from(image.kernel.sha256, 'hex'),
        initrdSha256: Buffer.from(image.initrd.sha256, 'hex'),
        commandLine: image.commandLines[mode],
      }
      const launch = await prepareSnpLaunch({ firmware, firmwareSeed, kernelHashes })
      return [mode, await variants(launch)] as const
    }),
  )
  return Object.fromEntries(tables) as Expected
}

/** vCPU type to vCPU count to digest. */
async function variants(launch: SnpLaunch) {
  const types: Record<string, Record<string, string>> = {}
  for (const vcpuType of MEASURED_VCPU_TYPES) {
    const counts: Record<string, string> = {}
    for (const vcpus of MEASURED_VCPU_COUNTS)
      counts[vcpus] = Buffer.from(await launch.digest({ vcpuType, vcpus })).toString('hex')
    types[vcpuType] = counts
  }
  return types
}
