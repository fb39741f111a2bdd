/** TPM Evidence in whatever form somebody saved it: go-tpm-tools' message, raw, in hex or in base64, or CoCo's JSON. */
import { FormatError } from '../bytes/format-error.ts'
import { firstOfText, recogniseBinary } from '../formats/binary-text.ts'
import { parseJson } from '../formats/json-text.ts'
import { parseTpmEvidenceJson } from './evidence-json.ts'
import { parseTpmMessage } from './evidence-protobuf.ts'
import type { TpmEvidence } from './evidence.ts'

const FORMAT = 'TPM evidence'
const MAX_BYTES = 16 << 20
const OPEN_BRACE = 0x7b
/** Field 1, the public area. */
const TPM_MESSAGE = 0x0a

/** @throws FormatError when none of the forms fits */
export function recogniseTpmEvidence(bytes: Uint8Array): TpmEvidence {
  if (bytes.length > MAX_BYTES) throw new FormatError(FORMAT, 'length', 0, 'too long')
  if (firstOfText(bytes) === OPEN_BRACE) return parseTpmEvidenceJson(parseJson(FORMAT, bytes))
  return parseTpmMessage(recogniseBinary(FORMAT, bytes, [TPM_MESSAGE]))
}
