import { FormatError } from './format-error.ts'

const STANDARD = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const URL_SAFE = `${STANDARD.slice(0, 62)}-_`
const STANDARD_VALUES = values(STANDARD)
const URL_SAFE_VALUES = values(URL_SAFE)

/** RFC 4648 section 4, with padding. */
export function toBase64(bytes: Uint8Array): string {
  return encode(bytes, STANDARD, '=')
}

/** RFC 4648 section 5, without padding. */
export function toBase64Url(bytes: Uint8Array): string {
  return encode(bytes, URL_SAFE, '')
}

/**
 * RFC 4648 section 4: padding required, no white space, unused bits zero (one text for one value).
 *
 * @throws FormatError
 */
export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  if (text.length % 4 !== 0)
    throw new FormatError('base64', 'text', text.length, 'length is not a multiple of 4')
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  return decode(text, text.length - padding, STANDARD_VALUES)
}

/**
 * RFC 4648 section 5: no padding, no white space, unused bits zero.
 *
 * @throws FormatError
 */
export function fromBase64Url(text: string): Uint8Array<ArrayBuffer> {
  return decode(text, text.length, URL_SAFE_VALUES)
}

function values(alphabet: string): Uint8Array {
  const table = new Uint8Array(128).fill(0xff)
  for (let value = 0; value < 64; value++) table[alphabet.charCodeAt(value)] = value
  return table
}

function encode(bytes: Uint8Array, alphabet: string, pad: string): string {
  let text = ''
  const whole = bytes.length - (bytes.length % 3)
  for (let index = 0; index < whole; index += 3) {
    const word =
      ((bytes[index] as number) << 16) |
      ((bytes[index + 1] as number) << 8) |
      (bytes[index + 2] as number)
    text +=
      alphabet.charAt(word >> 18) +
      alphabet.charAt((word >> 12) & 63) +
      alphabet.charAt((word >> 6) & 63) +
      alphabet.charAt(word & 63)
  }
  if (whole === bytes.length) return text
  const last = (bytes[whole] as number) << 16
  if (bytes.length - whole === 1)
    return text + alphabet.charAt(last >> 18) + alphabet.charAt((last >> 12) & 63) + pad + pad
  const word = last | ((bytes[whole + 1] as number) << 8)
  return (
    text +
    alphabet.charAt(word >> 18) +
    alphabet.charAt((word >> 12) & 63) +
    alphabet.charAt((word >> 6) & 63) +
    pad
  )
}

function decode(text: string, length: number, table: Uint8Array): Uint8Array<ArrayBuffer> {
  if (length % 4 === 1) throw new FormatError('base64', 'text', length, 'impossible length')
  const bytes = new Uint8Array(Math.floor((length * 3) / 4))
  let word = 0
  let bits = 0
  let filled = 0
  for (let index = 0; index < length; index++) {
    const value = table[text.charCodeAt(index)] ?? 0xff
    if (value === 0xff) throw new FormatError('base64', 'text', index, 'not in the alphabet')
    word = ((word << 6) | value) & 0xffff
    bits += 6
    if (bits < 8) continue
    bits -= 8
    bytes[filled++] = (word >> bits) & 0xff
  }
  if ((word & ((1 << bits) - 1)) !== 0)
    throw new FormatError('base64', 'text', length, 'unused bits are not zero')
  return bytes
}
