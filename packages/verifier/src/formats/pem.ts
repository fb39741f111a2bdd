/** PEM (RFC 7468): text armour around DER. Both line ends, text between blocks and a trailing NUL are accepted. */
import { fromBase64, toBase64 } from '../bytes/base64.ts'
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

/** Whether armour begins within the first 4096 bytes; what one SEQUENCE of DER fills to the last byte is none. */
export function isPem(bytes: Uint8Array): boolean {
  const [tag, form, high = 0, low = 0] = bytes
  if (tag === 0x30 && form === 0x82 && high * 256 + low + 4 === bytes.length) return false
  const last = Math.min(bytes.length, SEARCHED) - BEGIN.length
  for (let at = 0; at <= last; at++)
    if (bytes[at] === BEGIN[0] && BEGIN.every((byte, index) => bytes[at + index] === byte))
      return true
  return false
}

/**
 * Reads every block in order.
 *
 * @throws FormatError when a block does not end, has another end label, or is not base64
 */
export function parsePem(input: Uint8Array | string): PemBlock[] {
  const text = typeof input === 'string' ? input : fromUtf8('PEM', 'text', input)
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
    const end = text.indexOf('-----END ', labelEnd)
    if (end < 0 || !text.startsWith(`${label}-----`, end + 9))
      throw new FormatError('PEM', 'end', begin, 'is missing or has another label')
    const body = text.slice(labelEnd + 5, end).replaceAll(/[\r\n\t ]+/g, '')
    blocks.push({ label, der: fromBase64(body) })
    cursor = end + 9 + label.length + 5
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
