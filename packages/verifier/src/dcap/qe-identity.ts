/** Intel's identity of its Quoting Enclaves, version 2: JSON whose exact text is signed (PCS API v4). */
import { FormatError } from '../bytes/format-error.ts'
import { numberOf } from '../formats/json-fields.ts'
import type { EnclaveReport } from './enclave-report.ts'
import { SignedJson, readHex, readTime } from './signed-json.ts'
import { readSvnLevels } from './tcb-info.ts'
import type { SvnLevel } from './tcb-info.ts'

const FORMAT = 'QE identity'

export interface QeIdentity {
  readonly signed: SignedJson
  readonly id: 'QE' | 'TD_QE'
  readonly issueDate: Date
  readonly nextUpdate: Date
  readonly evaluationDataNumber: number
  readonly miscSelect: Uint8Array
  readonly miscSelectMask: Uint8Array
  readonly attributes: Uint8Array
  readonly attributesMask: Uint8Array
  readonly mrSigner: Uint8Array
  readonly isvProdId: number
  /** Newest first. */
  readonly levels: readonly SvnLevel[]
}

/** @param bytes - `{"enclaveIdentity": {…}, "signature": "…"}`. @throws FormatError */
export function parseQeIdentity(bytes: Uint8Array): QeIdentity {
  const signed = new SignedJson(FORMAT, bytes, 'enclaveIdentity')
  const json = signed.value
  const { id } = json
  if (id !== 'QE' && id !== 'TD_QE') throw new FormatError(FORMAT, 'id', 0, 'neither QE nor TD_QE')
  if (numberOf(FORMAT, 'version', json['version'], 100) !== 2)
    throw new FormatError(FORMAT, 'version', 0, 'not 2')
  const hex = (field: string, size: number) => readHex(FORMAT, field, json[field], size)
  // Intel writes miscselect as a big-endian number; reports hold it little-endian.
  const word = (field: string) => hex(field, 4).reverse()
  return {
    signed,
    id,
    issueDate: readTime(FORMAT, 'issueDate', json['issueDate']),
    nextUpdate: readTime(FORMAT, 'nextUpdate', json['nextUpdate']),
    evaluationDataNumber: numberOf(
      FORMAT,
      'tcbEvaluationDataNumber',
      json['tcbEvaluationDataNumber'],
      1_000_000,
    ),
    miscSelect: word('miscselect'),
    miscSelectMask: word('miscselectMask'),
    attributes: hex('attributes', 16),
    attributesMask: hex('attributesMask', 16),
    mrSigner: hex('mrsigner', 32),
    isvProdId: numberOf(FORMAT, 'isvprodid', json['isvprodid'], 65_535),
    levels: readSvnLevels(FORMAT, json['tcbLevels']),
  }
}

/** The first respect in which a report is not of this enclave, undefined when it is. */
export function qeMismatch(identity: QeIdentity, report: EnclaveReport): string | undefined {
  const { miscSelect, miscSelectMask, attributes, attributesMask, mrSigner } = identity
  if (!equalsMasked(report.miscSelect, miscSelect, miscSelectMask)) return 'miscselect'
  if (!equalsMasked(report.attributes, attributes, attributesMask)) return 'attributes'
  if (!report.mrSigner.every((byte, index) => byte === mrSigner[index])) return 'mrsigner'
  return report.isvProdId === identity.isvProdId ? undefined : 'isvprodid'
}

/** The newest level that this SVN reaches. */
export function svnLevel(levels: readonly SvnLevel[], svn: number): SvnLevel | undefined {
  return levels.find(({ isvSvn }) => isvSvn <= svn)
}

export function equalsMasked(value: Uint8Array, wanted: Uint8Array, mask: Uint8Array): boolean {
  return value.every(
    (byte, index) =>
      (byte & (mask[index] as number)) === ((wanted[index] as number) & (mask[index] as number)),
  )
}
