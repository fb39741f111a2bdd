/** Intel's identity of its Quoting Enclaves, version 2: JSON whose exact text is signed (PCS API v4). */
import type { JsonReader } from '../formats/json-reader.ts'
import type { EnclaveReport } from './enclave-report.ts'
import { readSignedJson, readTime, required } from './signed-json.ts'
import type { SignedJson } from './signed-json.ts'
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

const NAMES = [
  'id',
  'version',
  'issueDate',
  'nextUpdate',
  'tcbEvaluationDataNumber',
  'miscselect',
  'miscselectMask',
  'attributes',
  'attributesMask',
  'mrsigner',
  'isvprodid',
  'tcbLevels',
] as const

/** @param bytes - `{"enclaveIdentity": {…}, "signature": "…"}`. @throws FormatError */
export function parseQeIdentity(bytes: Uint8Array): QeIdentity {
  return readSignedJson(FORMAT, bytes, 'enclaveIdentity', readQeIdentity)
}

function readQeIdentity(reader: JsonReader): Omit<QeIdentity, 'signed'> {
  const read: { -readonly [Name in keyof QeIdentity]?: QeIdentity[Name] | undefined } = {}
  let version: number | undefined
  reader.openObject('enclaveIdentity')
  for (let name = reader.member(NAMES); name !== undefined; name = reader.member(NAMES))
    switch (name) {
      case 'id':
        read.id = reader.oneOf(name, IDS)
        break
      case 'version':
        version = reader.number(name, 100)
        break
      case 'issueDate':
        read.issueDate = readTime(reader, name)
        break
      case 'nextUpdate':
        read.nextUpdate = readTime(reader, name)
        break
      case 'tcbEvaluationDataNumber':
        read.evaluationDataNumber = reader.number(name, 1_000_000)
        break
      // Intel writes miscselect as a big-endian number; reports hold it little-endian.
      case 'miscselect':
        read.miscSelect = reader.hex(name, 4).reverse()
        break
      case 'miscselectMask':
        read.miscSelectMask = reader.hex(name, 4).reverse()
        break
      case 'attributes':
        read.attributes = reader.hex(name, 16)
        break
      case 'attributesMask':
        read.attributesMask = reader.hex(name, 16)
        break
      case 'mrsigner':
        read.mrSigner = reader.hex(name, 32)
        break
      case 'isvprodid':
        read.isvProdId = reader.number(name, 65_535)
        break
      case 'tcbLevels':
        read.levels = readSvnLevels(reader)
        break
      default:
        name satisfies never
    }
  if (version !== 2) return reader.fail('version', 'not 2')
  return {
    id: read.id ?? reader.fail('id', 'neither QE nor TD_QE'),
    issueDate: required(reader, 'issueDate', read.issueDate),
    nextUpdate: required(reader, 'nextUpdate', read.nextUpdate),
    evaluationDataNumber: required(reader, 'tcbEvaluationDataNumber', read.evaluationDataNumber),
    miscSelect: required(reader, 'miscselect', read.miscSelect),
    miscSelectMask: required(reader, 'miscselectMask', read.miscSelectMask),
    attributes: required(reader, 'attributes', read.attributes),
    attributesMask: required(reader, 'attributesMask', read.attributesMask),
    mrSigner: required(reader, 'mrsigner', read.mrSigner),
    isvProdId: required(reader, 'isvprodid', read.isvProdId),
    levels: required(reader, 'tcbLevels', read.levels),
  }
}

const IDS = ['QE', 'TD_QE'] as const

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
