/** The TDX part of a boot bundle: the unified kernel, and the registers of a TD that boots it. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { CloisterError } from '@cloister/protocol/error'
import type { GuestImageManifest, TdxRegisters } from '@cloister/protocol/guest-image-manifest'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { toHex } from '@cloister/verifier/bytes/hex'
import { predictMrTd } from '@cloister/verifier/tdx/mr-td'
import { predictUnifiedKernel } from '@cloister/verifier/tdx/unified-kernel'

import { describeFile } from '../files.ts'
import { IMAGE_FILES } from '../images.ts'
import { buildUnifiedKernel } from '../unified-kernel.ts'

export interface TdxKernel {
  readonly unifiedKernel: NonNullable<GuestImageManifest['unifiedKernel']>
  readonly registers: TdxRegisters
}

/**
 * Makes the unified kernel of mode `hardware` from the files of a bundle.
 *
 * @param directory - of the bundle, with kernel, initrd, stub and firmware in it
 * @returns undefined, and leaves no file, for a kernel whose EFI stub measures nothing into RTMRs (before Linux 6.9)
 * @throws CloisterError `guest-image.firmware-unfit`
 */
export async function makeTdxKernel(
  directory: string,
  { kernel, commandLines }: Pick<GuestImageManifest, 'kernel' | 'commandLines'>,
): Promise<TdxKernel | undefined> {
  const read = (name: keyof typeof IMAGE_FILES) => readFile(join(directory, IMAGE_FILES[name]))
  const [stub, vmlinuz, initrd, firmware] = await Promise.all([
    read('stub'),
    read('kernel'),
    read('initrd'),
    read('tdxFirmware'),
  ])
  const mrTd = await predictMrTd(firmware).catch((cause: unknown) => {
    if (!(cause instanceof FormatError || cause instanceof RangeError)) throw cause
    const where = join(directory, IMAGE_FILES.tdxFirmware)
    throw new CloisterError('guest-image.firmware-unfit', { where, why: cause.message, cause })
  })
  const parts = { stub, kernel: vmlinuz, initrd, commandLine: commandLines.hardware }
  const image = buildUnifiedKernel({ ...parts, release: kernel.release })
  const predicted = await predictUnifiedKernel(image).catch((cause: unknown) => {
    if (cause instanceof FormatError) return undefined
    throw cause
  })
  if (predicted === undefined) return undefined
  await writeFile(join(directory, IMAGE_FILES.unifiedKernel), image)
  const { rtmr1, rtmr2 } = predicted
  return {
    unifiedKernel: await describeFile(directory, IMAGE_FILES.unifiedKernel),
    registers: { mrTd: toHex(mrTd), rtmr1: toHex(rtmr1), rtmr2: toHex(rtmr2) },
  }
}
