/** The items of a bundle: what each kind is, and when it ends. */
import { FormatError } from '../bytes/format-error.ts'
import type { DcapEndorsements } from '../dcap/endorsements.ts'
import { parseQeIdentity } from '../dcap/qe-identity.ts'
import { parseTcbInfo } from '../dcap/tcb-info.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import { parseRevocationList } from '../formats/x509-crl.ts'
import { parseOcspResponse } from '../formats/ocsp.ts'
import { parseReferenceManifest } from '../nvidia/manifest.ts'

/** Certificates, lists and OCSP responses in DER; statements of Intel are the JSON as served, manifests of NVIDIA the XML as signed. */
export const ITEM_KINDS = [
  'certificate',
  'revocation-list',
  'tcb-info',
  'qe-identity',
  'manifest',
  'ocsp-response',
] as const
export type ItemKind = (typeof ITEM_KINDS)[number]

export interface BundleItem {
  readonly kind: ItemKind
  readonly data: Uint8Array
}

/** Intel's collateral as items. */
export function endorsementItems(found: Required<DcapEndorsements>): BundleItem[] {
  return [
    ...itemsOf('certificate', found.certificates),
    ...itemsOf('revocation-list', found.revocationLists),
    ...itemsOf('tcb-info', found.tcbInfos),
    ...itemsOf('qe-identity', found.qeIdentities),
  ]
}

export function itemsOf(kind: ItemKind, all: readonly Uint8Array[]): BundleItem[] {
  return all.map((data) => ({ kind, data }))
}

/** The last instant at which the item is in date. @throws FormatError when it is not of its kind */
export function itemEnd({ kind, data }: BundleItem): Date {
  switch (kind) {
    case 'certificate':
      return parseCertificate(data).notAfter
    case 'revocation-list':
      return parseRevocationList(data).nextUpdate
    case 'tcb-info':
      return parseTcbInfo(data).nextUpdate
    case 'qe-identity':
      return parseQeIdentity(data).nextUpdate
    case 'manifest':
      return manifestEnd(data)
    case 'ocsp-response':
      return ocspEnd(data)
    default:
      return kind satisfies never
  }
}

/** That of the first certificate of its signer. */
function manifestEnd(data: Uint8Array): Date {
  const { signature } = parseReferenceManifest(data)
  if (signature === undefined)
    throw new FormatError('reference manifest', 'Signature', 0, 'is missing')
  return earliest(signature.certificates.map(({ notAfter }) => notAfter))
}

function ocspEnd(data: Uint8Array): Date {
  const { answers, producedAt } = parseOcspResponse(data)
  if (answers.length === 0) throw new FormatError('OCSP response', 'responses', 0, 'none')
  return earliest(answers.map(({ nextUpdate }) => nextUpdate ?? producedAt))
}

function earliest(dates: readonly Date[]): Date {
  return new Date(Math.min(...dates.map((date) => date.getTime())))
}
