/**
 * Predicts MRTD: SHA-384 over the stream of the TDX module's records for each page that the host adds (Intel TDX module ABI, TDH.MEM.PAGE.ADD
 * and TDH.MR.EXTEND). It depends on the firmware file alone.
 */
import { runtimeCrypto } from '#crypto'
import { parseTdvf } from '../formats/tdvf.ts'
import type { TdvfSection } from '../formats/tdvf.ts'
import { toUtf8 } from '../bytes/text.ts'

const PAGE = 4096
const CHUNK = 256
const RECORD = 128
const ADD = toUtf8('MEM.PAGE.ADD')
const EXTEND = toUtf8('MR.EXTEND')
const MAX_STREAM = 256 * 1024 * 1024

export interface MrTdOptions {
  /**
   * `interleaved` (when absent): each page is added and then measured, as QEMU 9 and later with upstream kernels. `two-pass`: all pages of a section are
   * added first, as older stacks.
   */
  readonly order?: 'interleaved' | 'two-pass'
}

/** One section of the firmware, and MRTD once its pages are added. */
export interface MrTdStep {
  readonly section: TdvfSection
  /** 48 bytes. */
  readonly digest: Uint8Array
}

/**
 * 48 bytes.
 *
 * @throws FormatError when the firmware has no sound TDX metadata
 * @throws RangeError when its sections are absurdly large
 */
export async function predictMrTd(
  firmware: Uint8Array,
  options: MrTdOptions = {},
): Promise<Uint8Array> {
  return runtimeCrypto.digest('SHA-384', pageStream(firmware, options).stream.bytes)
}

/** Each section in the order in which it is measured; the last digest is MRTD. @throws as {@link predictMrTd} */
export async function mrTdSteps(
  firmware: Uint8Array,
  options: MrTdOptions = {},
): Promise<readonly MrTdStep[]> {
  const { sections, stream } = pageStream(firmware, options)
  const steps: MrTdStep[] = []
  let end = 0
  for (const section of sections) {
    end += streamSize(section)
    const digest = await runtimeCrypto.digest('SHA-384', stream.bytes.subarray(0, end))
    steps.push({ section, digest })
  }
  return steps
}

function pageStream(firmware: Uint8Array, options: MrTdOptions) {
  const sections = parseTdvf(firmware).filter(({ augmented }) => !augmented)
  const size = sections.reduce((sum, section) => sum + streamSize(section), 0)
  if (size > MAX_STREAM) throw new RangeError('the firmware would have too much memory measured')
  const stream = new PageStream(size)
  for (const section of sections)
    if (options.order === 'two-pass') writeTwoPass(stream, section, firmware)
    else writeInterleaved(stream, section, firmware)
  return { sections, stream }
}

class PageStream {
  readonly bytes: Uint8Array
  readonly #view: DataView
  #offset = 0

  constructor(size: number) {
    this.bytes = new Uint8Array(size)
    this.#view = new DataView(this.bytes.buffer)
  }

  add(gpa: bigint): void {
    this.#record(ADD, gpa)
  }

  /** @param data - of the page; what is missing at its end is zero */
  extend(gpa: bigint, data: Uint8Array): void {
    for (let offset = 0; offset < PAGE; offset += CHUNK) {
      this.#record(EXTEND, gpa + BigInt(offset))
      this.bytes.set(data.subarray(offset, offset + CHUNK), this.#offset)
      this.#offset += CHUNK
    }
  }

  #record(name: Uint8Array, gpa: bigint): void {
    this.bytes.set(name, this.#offset)
    this.#view.setBigUint64(this.#offset + 16, gpa, true)
    this.#offset += RECORD
  }
}

function writeInterleaved(stream: PageStream, section: TdvfSection, firmware: Uint8Array): void {
  for (const { gpa, data } of pagesOf(section, firmware)) {
    stream.add(gpa)
    if (section.measured) stream.extend(gpa, data)
  }
}

function writeTwoPass(stream: PageStream, section: TdvfSection, firmware: Uint8Array): void {
  for (const { gpa } of pagesOf(section, firmware)) stream.add(gpa)
  if (!section.measured) return
  for (const { gpa, data } of pagesOf(section, firmware)) stream.extend(gpa, data)
}

function* pagesOf({ gpa, size, dataOffset, dataSize }: TdvfSection, firmware: Uint8Array) {
  const contents = firmware.subarray(dataOffset, dataOffset + dataSize)
  for (let offset = 0; offset < Number(size); offset += PAGE)
    yield { gpa: gpa + BigInt(offset), data: contents.subarray(offset, offset + PAGE) }
}

function streamSize({ size, measured }: TdvfSection): number {
  const pages = Number(size) / PAGE
  return pages * (RECORD + (measured ? (PAGE / CHUNK) * (RECORD + CHUNK) : 0))
}
