/**
 * What a TD measures when it boots a unified kernel image directly (`-kernel`): the firmware the image and the kernel in it, systemd's stub each section
 * (systemd-stub(7), "TPM PCR Notes"), Linux's stub the command line and the initrd once more. PCR 4 and 5 are RTMR1, 9 and 11 are RTMR2.
 */
import { runtimeCrypto } from '#crypto'
import { FormatError } from '../bytes/format-error.ts'
import { fromUtf8, toUtf8 } from '../bytes/text.ts'
import { authenticodeDigest } from '../formats/authenticode.ts'
import { peSections } from '../formats/pe-sections.ts'
import { loadOptionsDigest, replayEvents, rtmr1Events } from './rtmr.ts'
import type { RtmrEvent } from './rtmr.ts'

const FORMAT = 'unified kernel'

/** In the order in which systemd's stub measures those that are there. */
const MEASURED_SECTIONS = ['.linux', '.cmdline', '.initrd', '.uname', '.sbat'] as const
/** Sections that would be measured, too, or would make the stub put files into the initrd: no image of ours has them. */
const OTHER_SECTIONS = [
  '.osrel',
  '.ucode',
  '.splash',
  '.dtb',
  '.dtbauto',
  '.hwids',
  '.efifw',
  '.pcrsig',
  '.pcrpkey',
  '.profile',
] as const

/**
 * EFI_CC_MEASUREMENT_PROTOCOL_GUID (UEFI 2.10, 38.2.1), in halves, as compilers store them apart. A stub that does not know it measures nothing into an
 * RTMR, so the host could choose what it passes on.
 */
const CC_PROTOCOL = [
  Uint8Array.of(0x3d, 0x1a, 0x75, 0x96, 0xf4, 0x72, 0xa6, 0x41),
  Uint8Array.of(0xa7, 0x94, 0xed, 0x5d, 0x0e, 0x67, 0xae, 0x6b),
] as const

export interface UnifiedKernelRegisters {
  /** 48 bytes, each. */
  readonly rtmr1: Uint8Array
  readonly rtmr2: Uint8Array
}

/** In order. */
export interface UnifiedKernelEvents {
  readonly rtmr1: readonly RtmrEvent[]
  readonly rtmr2: readonly RtmrEvent[]
}

/** Whether firmware that is given this as a kernel finds initrd and command line in it. Never throws. */
export function isUnifiedKernel(image: Uint8Array): boolean {
  try {
    return peSections(image).has('.linux')
  } catch (error) {
    if (error instanceof FormatError) return false
    throw error
  }
}

/** @param image - of sections that this file knows. @throws FormatError, also when one of its two stubs measures nothing into RTMRs */
export async function predictUnifiedKernel(image: Uint8Array): Promise<UnifiedKernelRegisters> {
  const { rtmr1, rtmr2 } = await unifiedKernelEvents(image)
  return { rtmr1: await replayEvents(rtmr1), rtmr2: await replayEvents(rtmr2) }
}

/** @throws FormatError as {@link predictUnifiedKernel} */
export async function unifiedKernelEvents(image: Uint8Array): Promise<UnifiedKernelEvents> {
  const sections = peSections(image)
  const content = (name: string) => {
    const found = sections.get(name)
    if (found === undefined) throw new FormatError(FORMAT, name, 0, 'is missing')
    return found
  }
  const unknown = OTHER_SECTIONS.find((name) => sections.has(name))
  if (unknown !== undefined) throw new FormatError(FORMAT, unknown, 0, 'is not expected')
  const kernel = content('.linux')
  const initrd = content('.initrd')
  // systemd's stub fills it up before it passes it on.
  if (initrd.length % 4 !== 0) throw new FormatError(FORMAT, '.initrd', 0, 'ends within four bytes')
  for (const [name, code] of [
    ['.text', content('.text')],
    ['.linux', kernel],
  ] as const)
    if (!knowsCcMeasurement(code))
      throw new FormatError(FORMAT, name, 0, 'its EFI stub measures nothing into RTMRs')
  const measured: RtmrEvent[] = []
  for (const name of MEASURED_SECTIONS) {
    const found = sections.get(name)
    if (found === undefined) continue
    measured.push({ what: `name of section ${name}`, digest: await sha384(toUtf8(`${name}\0`)) })
    measured.push({ what: `section ${name}`, digest: await sha384(found) })
  }
  const line = await loadOptionsDigest(fromUtf8(FORMAT, '.cmdline', content('.cmdline')))
  return {
    rtmr1: await rtmr1Events(
      await authenticodeDigest(image, 'SHA-384'),
      await authenticodeDigest(kernel, 'SHA-384'),
    ),
    rtmr2: [
      ...measured,
      { what: 'command line', digest: line },
      { what: 'initrd', digest: await sha384(initrd) },
    ],
  }
}

async function sha384(bytes: Uint8Array): Promise<Uint8Array> {
  return runtimeCrypto.digest('SHA-384', bytes)
}

function knowsCcMeasurement(code: Uint8Array): boolean {
  return CC_PROTOCOL.every((half) => indexOf(code, half) >= 0)
}

function indexOf(bytes: Uint8Array, wanted: Uint8Array): number {
  const first = wanted[0] as number
  for (let at = bytes.indexOf(first); at >= 0; at = bytes.indexOf(first, at + 1))
    if (wanted.every((byte, index) => bytes[at + index] === byte)) return at
  return -1
}
