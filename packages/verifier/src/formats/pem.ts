/** PEM (RFC 7468): text armour around DER. Both line ends, text between blocks and a trailing NUL are accepted. */
import { fromBase64Lines, toBase64 } from '../bytes/base64.ts'
import { equalsRange } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { fromUtf8, toUtf8 } from '../bytes/text.ts'

const MAX_BLOCKS = 64

export interface PemBlock {
  /** `CERTIFICATE`, `X509 CRL`, … */
  readonly label: string
  readonly der: Uint8Array
}

const BEGIN = toUtf8('-----BEGIN ')
const SEARCHED = 4096
const LATIN1 = new TextDecoder('latin1')

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
 * @throws FormatError when a block does not end, has another end label, or is not base64
 */
export function parsePem(input: Uint8Array | string): PemBlock[] {
  const bytes = typeof input === 'string' ? toUtf8(input) : input
  const text = textOf(bytes)
  const blocks: PemBlock[] = []
  let cursor = 0
  for (;;) {
    const begin = text.indexOf('-----BEGIN ', cursor)
    if (begin < 0) return blocks
    if (blocks.length === MAX_BLOCKS)
      throw new FormatError('PEM', 'blocks', begin, `more than ${MAX_BLOCKS}`)
    const labelEnd = text.indexOf('-----', begin + 11)
    if (labelEnd < 0) throw new FormatError('PEM', 'label', begin, 'does not end')
    const label = text.slice(begin + 11, labelEnd)
    const end = text.indexOf('-----END ', labelEnd + 5)
    if (end < 0 || !text.startsWith(`${label}-----`, end + 9))
      throw new FormatError('PEM', 'end', begin, 'is missing or has another label')
    blocks.push({ label, der: fromBase64Lines(bytes, labelEnd + 5, end) })
    cursor = end + 9 + label.length + 5
  }
}

/** One character for each byte, so that places in the text are places in the bytes. */
function textOf(bytes: Uint8Array): string {
  const text = fromUtf8('PEM', 'text', bytes)
  return text.length === bytes.length ? text : LATIN1.decode(bytes)
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
