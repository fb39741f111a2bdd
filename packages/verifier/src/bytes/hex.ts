import { FormatError } from './format-error.ts'

/** What the runtime itself writes hexadecimal with, where it can: claims and checks hold every field so. */
const native = nativeHex()

const DIGITS = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** Lowercase, two digits a byte, no prefix. */
export function toHex(bytes: Uint8Array): string {
  if (native !== undefined) return native(bytes)
  let text = ''
  for (const byte of bytes) text += DIGITS[byte]
  return text
}

/**
 * Reads hexadecimal digits of either case.
 *
 * @throws FormatError on an odd length or any other character
 */
export function fromHex(text: string): Uint8Array<ArrayBuffer> {
  if (text.length % 2 !== 0) throw new FormatError('hex', 'digits', text.length, 'odd length')
  const bytes = new Uint8Array(text.length / 2)
  for (let index = 0; index < bytes.length; index++)
    bytes[index] =
      (digit(text.charCodeAt(index * 2), index * 2) << 4) |
      digit(text.charCodeAt(index * 2 + 1), index * 2 + 1)
  return bytes
}

/** As {@link fromHex}, of the digits `text[start..end]` in ASCII. @throws FormatError */
export function fromHexDigits(
  text: Uint8Array,
  start = 0,
  end = text.length,
): Uint8Array<ArrayBuffer> {
  const length = end - start
  if (length % 2 !== 0) throw new FormatError('hex', 'digits', length, 'odd length')
  const bytes = new Uint8Array(length / 2)
  for (let at = 0; at < length; at += 2)
    bytes[at >> 1] =
      (digit(text[start + at] as number, at) << 4) | digit(text[start + at + 1] as number, at + 1)
  return bytes
}

/** @param code - of the character */
function digit(code: number, index: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const lower = code | 0x20
  if (lower >= 0x61 && lower <= 0x66) return lower - 0x57
  throw new FormatError('hex', 'digits', index, 'not a hexadecimal digit')
}

/** `Uint8Array.prototype.toHex` of newer runtimes, `hexSlice` of Node's Buffer; undefined where there is neither. */
function nativeHex(): ((bytes: Uint8Array) => string) | undefined {
  const { Buffer } = globalThis as { Buffer?: { prototype: { hexSlice?: HexSlice } } }
  const standard = (Uint8Array.prototype as { toHex?: (this: Uint8Array) => string }).toHex
  if (standard !== undefined) return (bytes) => standard.call(bytes)
  const slice = Buffer?.prototype.hexSlice
  return slice && ((bytes) => slice.call(bytes, 0, bytes.length))
}

type HexSlice = (this: Uint8Array, start: number, end: number) => string
