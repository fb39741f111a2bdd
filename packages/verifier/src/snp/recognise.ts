/** SNP Evidence in whatever form somebody saved it: raw, hex, base64, CoCo's JSON, or JSON around base64. */
import { fromBase64 } from '../bytes/base64.ts'
import { FormatError } from '../bytes/format-error.ts'
import { fromHex } from '../bytes/hex.ts'
import { fromUtf8 } from '../bytes/text.ts'
import { parseSnpEvidenceJson } from './evidence-json.ts'
import type { SnpEvidence } from './evidence.ts'
import { objectOf } from '../formats/json-fields.ts'
import { REPORT_SIZE } from './report.ts'

const FORMAT = 'SNP evidence'
const MAX_TEXT = 1_048_576

/** @throws FormatError when none of the forms fits */
export function recogniseSnpEvidence(bytes: Uint8Array): SnpEvidence {
  if (bytes.length === REPORT_SIZE && bytes[1] === 0) return { report: bytes }
  if (bytes.length > MAX_TEXT) throw new FormatError(FORMAT, 'length', 0, 'too long')
  const text = fromUtf8(FORMAT, 'text', bytes).trim()
  if (text.startsWith('{')) return fromJson(text)
  const digits = text.replaceAll(/[\r\n\t ]+/g, '')
  return { report: digits.length === REPORT_SIZE * 2 ? fromHex(digits) : fromBase64(digits) }
}

/** Either CoCo's form, or `{"evidence": {"attestation_report": "<base64>", "cert_chain": {"vcek": "<base64>"}}}`. */
function fromJson(text: string): SnpEvidence {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    throw new FormatError(FORMAT, 'text', 0, 'not JSON')
  }
  const outer = objectOf(FORMAT, 'evidence', parsed)
  const inner =
    outer['evidence'] === undefined ? outer : objectOf(FORMAT, 'evidence', outer['evidence'])
  const report = inner['attestation_report']
  if (typeof report !== 'string') return parseSnpEvidenceJson(inner === outer ? text : inner)
  const chain = inner['cert_chain'] ?? {}
  const certificates = Object.values(objectOf(FORMAT, 'cert_chain', chain))
    .filter((value) => typeof value === 'string')
    .map(fromBase64)
  return { report: fromBase64(report), certificates }
}
