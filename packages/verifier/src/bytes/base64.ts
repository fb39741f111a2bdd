import { FormatError } from './format-error.ts'
import { toUtf8 } from './text.ts'

const STANDARD = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
const URL_SAFE = `${STANDARD.slice(0, 62)}-_`
/** In the tables of digits, besides the values 0 to 63. */
const SPACE = 0x40
const OTHER = 0x80
const PAD = 0x3d
const HYPHEN = 0x2d
const UNDERSCORE = 0x5f
const STANDARD_VALUES = values(STANDARD)
const LINE_VALUES = values(STANDARD, '\n\r\t ')
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
  return fromBase64Digits(toUtf8(text))
}

/** As {@link fromBase64}, of the text `bytes[start..end]`. @throws FormatError */
export function fromBase64Digits(
  bytes: Uint8Array,
  start = 0,
  end = bytes.length,
): Uint8Array<ArrayBuffer> {
  return decodePadded(bytes, start, end, STANDARD_VALUES)
}

/**
 * As {@link fromBase64}, of the text `bytes[start..end]` with white space anywhere, as in PEM.
 *
 * @param memory - what to fill from its start, where several texts share theirs; three quarters of the text fit
 * @returns the part of it that was filled
 * @throws FormatError
 */
export function fromBase64Lines(
  bytes: Uint8Array,
  start = 0,
  end = bytes.length,
  memory?: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  return decodePadded(bytes, start, end, LINE_VALUES, memory)
}

/**
 * RFC 4648 section 5: no padding, no white space, unused bits zero.
 *
 * @throws FormatError
 */
export function fromBase64Url(text: string): Uint8Array<ArrayBuffer> {
  const bytes = toUtf8(text)
  return decode(bytes, 0, bytes.length, URL_SAFE_VALUES)
}

/**
 * Digits of either alphabet, as somebody saved them: URL-safe ones may lack their padding.
 *
 * @throws FormatError
 */
export function fromAnyBase64(digits: Uint8Array): Uint8Array<ArrayBuffer> {
  const isUrlSafe =
    digits.includes(HYPHEN) || digits.includes(UNDERSCORE) || digits.length % 4 !== 0
  if (!isUrlSafe) return fromBase64Digits(digits)
  const padding = digits.at(-1) !== PAD ? 0 : digits.at(-2) === PAD ? 2 : 1
  return decode(digits, 0, digits.length - padding, URL_SAFE_VALUES)
}

function values(alphabet: string, space = ''): Uint8Array {
  const table = new Uint8Array(256).fill(OTHER)
  for (let value = 0; value < 64; value++) table[alphabet.charCodeAt(value)] = value
  for (let index = 0; index < space.length; index++) table[space.charCodeAt(index)] = SPACE
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

function decodePadded(
  text: Uint8Array,
  start: number,
  end: number,
  table: Uint8Array,
  memory?: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  let last = end
  let padding = 0
  for (; last > start && padding < 2; last--) {
    const byte = text[last - 1] as number
    if (byte === PAD) padding++
    else if (table[byte] !== SPACE) break
  }
  const bytes = decode(text, start, last, table, memory)
  if ((bytes.length + padding) % 3 !== 0)
    throw new FormatError('base64', 'text', end, 'length is not a multiple of 4')
  return bytes
}

function decode(
  text: Uint8Array,
  start: number,
  end: number,
  table: Uint8Array,
  memory = new Uint8Array(Math.floor(((end - start) * 3) / 4)),
): Uint8Array<ArrayBuffer> {
  let at = start
  let filled = 0
  let word = 0
  /** Of the group that is not whole. */
  let digits = 0
  while (at < end) {
    if (digits === 0 && at + 4 <= end) {
      const group = groupAt(text, at, table)
      if (group >= 0) {
        memory[filled] = group >> 16
        memory[filled + 1] = group >> 8
        memory[filled + 2] = group
        filled += 3
        at += 4
        continue
      }
    }
    const value = table[text[at] as number] as number
    if (value === OTHER) throw new FormatError('base64', 'text', at, 'not in the alphabet')
    at++
    if (value === SPACE) continue
    word = (word << 6) | value
    if (++digits < 4) continue
    memory[filled] = word >> 16
    memory[filled + 1] = word >> 8
    memory[filled + 2] = word
    filled += 3
    word = 0
    digits = 0
  }
  if (digits === 1) throw new FormatError('base64', 'text', end, 'impossible length')
  if ((digits === 2 && (word & 15) !== 0) || (digits === 3 && (word & 3) !== 0))
    throw new FormatError('base64', 'text', end, 'unused bits are not zero')
  if (digits === 2) memory[filled++] = word >> 4
  if (digits === 3) {
    memory[filled++] = word >> 10
    memory[filled++] = word >> 2
  }
  return filled === memory.length ? memory : memory.subarray(0, filled)
}

/** 24 bits of four digits in a row, as nearly all are; negative when one of them is no digit. */
function groupAt(text: Uint8Array, at: number, table: Uint8Array): number {
  const first = table[text[at] as number] as number
  const second = table[text[at + 1] as number] as number
  const third = table[text[at + 2] as number] as number
  const fourth = table[text[at + 3] as number] as number
  if ((first | second | third | fourth) >= SPACE) return -1
  return (first << 18) | (second << 12) | (third << 6) | fourth
}
