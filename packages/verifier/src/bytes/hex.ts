import { FormatError } from './format-error.ts'

const DIGITS = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** Lowercase, two digits a byte, no prefix. */
export function toHex(bytes: Uint8Array): string {
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
    bytes[index] = (digit(text, index * 2) << 4) | digit(text, index * 2 + 1)
  return bytes
}

function digit(text: string, index: number): number {
  const code = text.charCodeAt(index)
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const lower = code | 0x20
  if (lower >= 0x61 && lower <= 0x66) return lower - 0x57
  throw new FormatError('hex', 'digits', index, 'not a hexadecimal digit')
}
