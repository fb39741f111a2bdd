/** SNP Evidence in whatever form somebody saved it: raw, hex, base64, CoCo's JSON, or JSON around base64. */
import { fromBase64 } from '../bytes/base64.ts'
import { FormatError } from '../bytes/format-error.ts'
import { firstOfText, recogniseBinary } from '../formats/binary-text.ts'
import { parseSnpEvidenceJson } from './evidence-json.ts'
import type { SnpEvidence } from './evidence.ts'
import { objectOf } from '../formats/json-fields.ts'
import { parseCompactJson } from '../formats/json-text.ts'
import { REPORT_SIZE } from './report.ts'

const FORMAT = 'SNP evidence'
const MAX_TEXT = 1_048_576
const OPEN_BRACE = 0x7b
/** First bytes of reports, also of versions that the parser will refuse. */
const VERSIONS = [1, 2, 3, 4, 5, 6, 7, 8]

/** @throws FormatError when none of the forms fits */
export function recogniseSnpEvidence(bytes: Uint8Array): SnpEvidence {
  if (bytes.length === REPORT_SIZE && bytes[1] === 0) return { report: bytes }
  if (bytes.length > MAX_TEXT) throw new FormatError(FORMAT, 'length', 0, 'too long')
  if (firstOfText(bytes) === OPEN_BRACE) return fromJson(bytes)
  return { report: recogniseBinary(FORMAT, bytes, VERSIONS) }
}

/** Either CoCo's form, or `{"evidence": {"attestation_report": "<base64>", "cert_chain": {"vcek": "<base64>"}}}`. */
function fromJson(bytes: Uint8Array): SnpEvidence {
  const outer = objectOf(FORMAT, 'evidence', parseCompactJson(FORMAT, bytes))
  const inner =
    outer['evidence'] === undefined ? outer : objectOf(FORMAT, 'evidence', outer['evidence'])
  const report = inner['attestation_report']
  if (typeof report !== 'string') return parseSnpEvidenceJson(inner)
  const chain = inner['cert_chain'] ?? {}
  const certificates = Object.values(objectOf(FORMAT, 'cert_chain', chain))
    .filter((value) => typeof value === 'string')
    .map(fromBase64)
  return { report: fromBase64(report), certificates }
}
