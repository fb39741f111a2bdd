/** TPM Evidence in whatever form somebody saved it: go-tpm-tools' message, or CoCo's JSON. */
import { FormatError } from '../bytes/format-error.ts'
import { parseJson } from '../formats/json-text.ts'
import { parseTpmEvidenceJson } from './evidence-json.ts'
import { isTpmMessage, parseTpmMessage } from './evidence-protobuf.ts'
import type { TpmEvidence } from './evidence.ts'

const FORMAT = 'TPM evidence'
const MAX_BYTES = 16 << 20

/** @throws FormatError when none of the forms fits */
export function recogniseTpmEvidence(bytes: Uint8Array): TpmEvidence {
  if (bytes.length > MAX_BYTES) throw new FormatError(FORMAT, 'length', 0, 'too long')
  if (isTpmMessage(bytes)) return parseTpmMessage(bytes)
  return parseTpmEvidenceJson(parseJson(FORMAT, bytes))
}
