/** Binary Evidence that somebody saved as text: hex or base64, white space between digits ignored. */
import { fromBase64 } from '../bytes/base64.ts'
import { FormatError } from '../bytes/format-error.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import { fromUtf8 } from '../bytes/text.ts'

const MAX_BYTES = 4_194_304

/**
 * The bytes, as they are when they begin with one of `firstBytes`.
 *
 * @throws FormatError when they are neither that nor hex or base64 text
 */
export function recogniseBinary(
  format: string,
  bytes: Uint8Array,
  firstBytes: readonly number[],
): Uint8Array {
  const [first] = bytes
  if (first !== undefined && firstBytes.includes(first)) return bytes
  if (bytes.length > MAX_BYTES) throw new FormatError(format, 'length', 0, 'too long')
  const digits = fromUtf8(format, 'text', bytes).replaceAll(/[\r\n\t ]+/g, '')
  const head = digits.slice(0, 2).toLowerCase()
  if (head === '0x') return fromHex(digits.slice(2))
  return firstBytes.some((byte) => toHex(Uint8Array.of(byte)) === head)
    ? fromHex(digits)
    : fromBase64(digits)
}
