/** A quote in whatever form somebody saved it: raw, hex, base64, or CoCo's JSON `{"quote": "<base64>", …}`. */
import { fromBase64 } from '../bytes/base64.ts'
import { isTextAt } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { fromHexDigits } from '../bytes/hex.ts'
import { firstOfText, isPrefixed, savedBase64, withoutSpace } from '../formats/binary-text.ts'
import { objectOf } from '../formats/json-fields.ts'
import { parseJson } from '../formats/json-text.ts'

const FORMAT = 'DCAP evidence'
const MAX_BYTES = 4_194_304
const OPEN_BRACE = 0x7b
const VERSIONS = ['0300', '0400', '0500']
const KEY_TYPES = ['0200', '0300']

/** @throws FormatError when none of the forms fits */
export function recogniseQuote(bytes: Uint8Array): Uint8Array {
  if (bytes[1] === 0) return bytes
  if (bytes.length > MAX_BYTES) throw new FormatError(FORMAT, 'length', 0, 'too long')
  if (firstOfText(bytes) === OPEN_BRACE) return fromJson(bytes)
  const digits = withoutSpace(bytes)
  if (isPrefixed(digits)) return fromHexDigits(digits, 2)
  return isHexQuote(digits) ? fromHexDigits(digits) : savedBase64(FORMAT, digits)
}

/** The first bytes of a quote, version and key type, are as clear in hex as they are absent from base64. */
function isHexQuote(digits: Uint8Array): boolean {
  return VERSIONS.some((version) =>
    KEY_TYPES.some((keyType) => isTextAt(digits, 0, 8, `${version}${keyType}`)),
  )
}

function fromJson(bytes: Uint8Array): Uint8Array {
  const outer = objectOf(FORMAT, 'evidence', parseJson(FORMAT, bytes))
  const inner =
    outer['evidence'] === undefined ? outer : objectOf(FORMAT, 'evidence', outer['evidence'])
  const { quote } = inner
  if (typeof quote !== 'string') throw new FormatError(FORMAT, 'quote', 0, 'is missing')
  return fromBase64(quote)
}
