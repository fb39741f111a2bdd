/** What SNP reports of a guest whose firmware alone was measured: of the firmware that this owner has, started without a kernel. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { measureFirmware } from '@cloister/image/firmware-measurement'
import type { GuestImage } from '@cloister/image/images'
import { MEASURED_VCPU_COUNTS, MEASURED_VCPU_TYPES } from '@cloister/protocol/guest-image-manifest'
import { FormatError } from '@cloister/verifier/bytes/format-error'

/** OVMF as Debian has it for a disk that boots by itself under SNP. */
const PACKAGED = ['/usr/share/ovmf/OVMF.fd']

/** 96 hex digits each; a file that cannot be read, or lacks what SNP needs, has none. */
export async function firmwareDigests(
  images: readonly GuestImage[],
  packaged: readonly string[] = PACKAGED,
): Promise<string[]> {
  const own = images.flatMap(({ paths: { snpFirmware } }) => snpFirmware ?? [])
  // Bundles have the firmware of the image that they were made of.
  const contents = new Map<string, Buffer>()
  for (const path of [...own, ...packaged]) {
    const content = await readFile(path).catch(() => undefined)
    if (content !== undefined)
      contents.set(createHash('sha256').update(content).digest('hex'), content)
  }
  const digests: string[] = []
  for (const firmware of contents.values())
    for (const vcpuType of MEASURED_VCPU_TYPES)
      for (const vcpus of MEASURED_VCPU_COUNTS)
        digests.push(...(await digestOf({ firmware, vcpuType, vcpus })))
  return digests
}

async function digestOf(boot: Parameters<typeof measureFirmware>[1]): Promise<string[]> {
  try {
    return (await measureFirmware('snp', boot)).map(({ value }) => value)
  } catch (error) {
    if (error instanceof FormatError || error instanceof RangeError) return []
    throw error
  }
}
