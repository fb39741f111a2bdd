/** A quote in whatever form somebody saved it: raw, hex, base64, or CoCo's JSON `{"quote": "<base64>", …}`. */
import { fromBase64 } from '../bytes/base64.ts'
import { FormatError } from '../bytes/format-error.ts'
import { fromHex } from '../bytes/hex.ts'
import { fromUtf8 } from '../bytes/text.ts'
import { objectOf } from '../formats/json-fields.ts'

const FORMAT = 'DCAP evidence'
const MAX_BYTES = 4_194_304

/** @throws FormatError when none of the forms fits */
export function recogniseQuote(bytes: Uint8Array): Uint8Array {
  if (bytes[1] === 0) return bytes
  if (bytes.length > MAX_BYTES) throw new FormatError(FORMAT, 'length', 0, 'too long')
  const text = fromUtf8(FORMAT, 'text', bytes).trim()
  if (text.startsWith('{')) return fromJson(text)
  const digits = text.replaceAll(/[\r\n\t ]+/g, '')
  if (digits.startsWith('0x')) return fromHex(digits.slice(2))
  // The first bytes of a quote, version and key type, are as clear in hex as they are absent from base64.
  return /^0[345]000[23]/.test(digits) ? fromHex(digits) : fromBase64(digits)
}

function fromJson(text: string): Uint8Array {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    throw new FormatError(FORMAT, 'text', 0, 'not JSON')
  }
  const outer = objectOf(FORMAT, 'evidence', parsed)
  const inner =
    outer['evidence'] === undefined ? outer : objectOf(FORMAT, 'evidence', outer['evidence'])
  const { quote } = inner
  if (typeof quote !== 'string') throw new FormatError(FORMAT, 'quote', 0, 'is missing')
  return fromBase64(quote)
}
