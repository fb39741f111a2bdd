/** PEM (RFC 7468): text armour around DER. Both line ends, text between blocks and a trailing NUL are accepted. */
import { fromBase64Lines, toBase64 } from '../bytes/base64.ts'
import { equalsRange } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { fromUtf8, textAt, toUtf8 } from '../bytes/text.ts'

const MAX_BLOCKS = 64

export interface PemBlock {
  /** `CERTIFICATE`, `X509 CRL`, … */
  readonly label: string
  readonly der: Uint8Array
}

const BEGIN = toUtf8('-----BEGIN ')
const END = toUtf8('-----END ')
const MARK = toUtf8('-----')
const HYPHEN = 0x2d
const SEARCHED = 4096
/** Nothing is longer than `PRIVACY-ENHANCED MESSAGE`. */
const MAX_LABEL = 64

/** Whether armour begins within the first 4096 bytes. */
export function isPem(bytes: Uint8Array): boolean {
  // A SEQUENCE of 128 bytes or more: not UTF-8, so no text.
  if (bytes[0] === 0x30 && (bytes[1] ?? 0) > 0x80) return false
  const last = Math.min(bytes.length, SEARCHED) - BEGIN.length
  for (let at = 0; at <= last; at++)
    if (equalsRange(bytes, at, at + BEGIN.length, BEGIN)) return true
  return false
}

/**
 * Reads every block in order.
 *
 * @throws FormatError when a block does not end, has another end label, or is not base64; when what stands between blocks is not UTF-8
 */
export function parsePem(input: Uint8Array | string): PemBlock[] {
  const bytes = typeof input === 'string' ? toUtf8(input) : input
  const blocks: PemBlock[] = []
  let memory: Uint8Array<ArrayBuffer> | undefined
  let cursor = 0
  for (;;) {
    const begin = indexOf(bytes, BEGIN, cursor)
    checkText(bytes, cursor, begin)
    if (begin === bytes.length) return blocks
    if (blocks.length === MAX_BLOCKS)
      throw new FormatError('PEM', 'blocks', begin, `more than ${MAX_BLOCKS}`)
    const start = begin + BEGIN.length
    const labelEnd = indexOf(bytes, MARK, start)
    if (labelEnd === bytes.length) throw new FormatError('PEM', 'label', begin, 'does not end')
    if (labelEnd - start > MAX_LABEL) throw new FormatError('PEM', 'label', begin, 'is too long')
    const label = textAt('PEM', 'label', bytes, start, labelEnd)
    const contents = labelEnd + MARK.length
    const end = indexOf(bytes, END, contents)
    const endLabel = end + END.length
    cursor = endLabel + contents - start
    if (!equalsRange(bytes, endLabel, cursor, bytes.subarray(start, contents)))
      throw new FormatError('PEM', 'end', begin, 'is missing or has another label')
    // One piece of memory for all blocks: each of its own would be dear.
    memory ??= new Uint8Array(Math.floor(((bytes.length - contents) * 3) / 4))
    const der = fromBase64Lines(bytes, contents, end, memory)
    memory = memory.subarray(der.length)
    blocks.push({ label, der })
  }
}

/** Where the wanted bytes begin, which start with a hyphen; the end of all when they do not. */
function indexOf(bytes: Uint8Array, wanted: Uint8Array, from: number): number {
  let at = bytes.indexOf(HYPHEN, from)
  while (at >= 0 && !equalsRange(bytes, at, at + wanted.length, wanted))
    at = bytes.indexOf(HYPHEN, at + 1)
  return at < 0 ? bytes.length : at
}

function checkText(bytes: Uint8Array, start: number, end: number): void {
  for (let at = start; at < end; at++)
    if ((bytes[at] as number) >= 0x80) {
      fromUtf8('PEM', 'text', bytes.subarray(at, end))
      return
    }
}

/** Base64 in lines of 64, one line feed at the end. */
export function encodePem(label: string, der: Uint8Array): string {
  const lines = toBase64(der).match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}

/** Each input in DER: what is PEM is opened, all else is taken as DER. @throws FormatError */
export function toDer(inputs: readonly Uint8Array[]): Uint8Array[] {
  return inputs.flatMap((input) => (isPem(input) ? parsePem(input).map(({ der }) => der) : [input]))
}
