/** The items of a bundle: what each kind is, and when it ends. */
import { parseQeIdentity } from '../dcap/qe-identity.ts'
import { parseTcbInfo } from '../dcap/tcb-info.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import { parseRevocationList } from '../formats/x509-crl.ts'

/** Certificates and lists in DER; statements of Intel are the JSON as served. */
export const ITEM_KINDS = ['certificate', 'revocation-list', 'tcb-info', 'qe-identity'] as const
export type ItemKind = (typeof ITEM_KINDS)[number]

export interface BundleItem {
  readonly kind: ItemKind
  readonly data: Uint8Array
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
    default:
      return kind satisfies never
  }
}
