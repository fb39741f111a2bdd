/** SNP Evidence in whatever form somebody saved it: raw, hex, base64, CoCo's JSON, or JSON around base64. */
import { fromBase64, fromBase64Lines } from '../bytes/base64.ts'
import { FormatError } from '../bytes/format-error.ts'
import { fromHexDigits } from '../bytes/hex.ts'
import { firstOfText, withoutSpace } from '../formats/binary-text.ts'
import { parseSnpEvidenceJson } from './evidence-json.ts'
import type { SnpEvidence } from './evidence.ts'
import { objectOf } from '../formats/json-fields.ts'
import { parseJson } from '../formats/json-text.ts'
import { REPORT_SIZE } from './report.ts'

const FORMAT = 'SNP evidence'
const MAX_TEXT = 1_048_576
const OPEN_BRACE = 0x7b

/** @throws FormatError when none of the forms fits */
export function recogniseSnpEvidence(bytes: Uint8Array): SnpEvidence {
  if (bytes.length === REPORT_SIZE && bytes[1] === 0) return { report: bytes }
  if (bytes.length > MAX_TEXT) throw new FormatError(FORMAT, 'length', 0, 'too long')
  if (firstOfText(bytes) === OPEN_BRACE) return fromJson(bytes)
  const digits = withoutSpace(bytes)
  const report = digits.length === REPORT_SIZE * 2 ? fromHexDigits(digits) : fromBase64Lines(digits)
  return { report }
}

/** Either CoCo's form, or `{"evidence": {"attestation_report": "<base64>", "cert_chain": {"vcek": "<base64>"}}}`. */
function fromJson(bytes: Uint8Array): SnpEvidence {
  const outer = objectOf(FORMAT, 'evidence', parseJson(FORMAT, bytes))
  const inner =
    outer['evidence'] === undefined ? outer : objectOf(FORMAT, 'evidence', outer['evidence'])
  const report = inner['attestation_report']
  if (typeof report !== 'string') return parseSnpEvidenceJson(inner === outer ? bytes : inner)
  const chain = inner['cert_chain'] ?? {}
  const certificates = Object.values(objectOf(FORMAT, 'cert_chain', chain))
    .filter((value) => typeof value === 'string')
    .map(fromBase64)
  return { report: fromBase64(report), certificates }
}
