/** A token in whatever form somebody saved it: raw, hex, base64, or CoCo's JSON `{"token": [byte, …]}`. */
import { FormatError } from '../bytes/format-error.ts'
import { firstOfText, recogniseBinary } from '../formats/binary-text.ts'
import { byteListOf, fieldOf, objectOf } from '../formats/json-fields.ts'
import { parseCompactJson } from '../formats/json-text.ts'

const FORMAT = 'CCA evidence'
const MAX_BYTES = 262_144
const OPEN_BRACE = 0x7b

/** @throws FormatError when none of the forms fits */
export function recogniseCcaToken(bytes: Uint8Array): Uint8Array {
  // Tag 399 begins with 0xd9, which no text does.
  return firstOfText(bytes) === OPEN_BRACE
    ? fromJson(bytes)
    : recogniseBinary(FORMAT, bytes, [0xd9])
}

function fromJson(bytes: Uint8Array): Uint8Array {
  if (bytes.length > MAX_BYTES * 8) throw new FormatError(FORMAT, 'length', 0, 'too long')
  const outer = objectOf(FORMAT, 'evidence', parseCompactJson(FORMAT, bytes))
  return byteListOf(FORMAT, 'token', fieldOf(FORMAT, outer, 'token'), MAX_BYTES)
}
