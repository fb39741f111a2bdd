/** Binary Evidence that somebody saved as text: hex or base64 of either alphabet, white space between digits ignored. */
import { fromAnyBase64 } from '../bytes/base64.ts'
import { isTextAt } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { fromHexDigits, toHex } from '../bytes/hex.ts'

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
  const digits = withoutSpace(bytes)
  if (isPrefixed(digits)) return fromHexDigits(digits, 2)
  const head = new TextDecoder().decode(digits.subarray(0, 2)).toLowerCase()
  return firstBytes.some((byte) => toHex(Uint8Array.of(byte)) === head)
    ? fromHexDigits(digits)
    : savedBase64(format, digits)
}

/** The bytes of base64 text without white space, the last form that Evidence may have. @throws FormatError */
export function savedBase64(format: string, digits: Uint8Array): Uint8Array {
  try {
    return fromAnyBase64(digits)
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    throw new FormatError(format, 'text', error.offset, 'neither binary, hex nor base64')
  }
}

/** Whether digits begin with `0x`. */
export function isPrefixed(digits: Uint8Array): boolean {
  return isTextAt(digits, 0, 2, '0x')
}

/** A copy without line ends, tabs and blanks. */
export function withoutSpace(text: Uint8Array): Uint8Array<ArrayBuffer> {
  const digits = new Uint8Array(text.length)
  let count = 0
  for (let at = 0; at < text.length; at++) {
    const byte = text[at] as number
    if (!isSpace(byte)) digits[count++] = byte
  }
  return digits.subarray(0, count)
}

/** The first byte that is no white space. */
export function firstOfText(text: Uint8Array): number | undefined {
  let at = 0
  while (at < text.length && isSpace(text[at] as number)) at++
  return text[at]
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}
