/** SNP Evidence: the report, and what the sender gives along with it to help the Verifier. */
import { FormatError } from '../bytes/format-error.ts'
import { TABLE_GUID, parseCertificateTable } from './certificate-table.ts'

export interface SnpEvidence {
  /** 1184 bytes. */
  readonly report: Uint8Array
  /** DER or PEM; from the host, so trusted only through a pinned root. */
  readonly certificates?: readonly Uint8Array[]
  /** DER or PEM. */
  readonly revocationLists?: readonly Uint8Array[]
}

const CERTIFICATE_GUIDS: readonly string[] = [
  TABLE_GUID.vcek,
  TABLE_GUID.vlek,
  TABLE_GUID.ask,
  TABLE_GUID.ark,
]

/** A report with the certificate table of the kernel's extended report. @throws FormatError */
export function fromExtendedReport(report: Uint8Array, table: Uint8Array): SnpEvidence {
  const entries = parseCertificateTable(table)
  const known: readonly string[] = Object.values(TABLE_GUID)
  const unknown = entries.find(({ guid }) => !known.includes(guid))
  if (unknown !== undefined)
    throw new FormatError('SNP certificate table', 'guid', 0, `${unknown.guid} is unknown`)
  const dataOf = (guids: readonly string[]) =>
    entries.filter(({ guid }) => guids.includes(guid)).map(({ data }) => data)
  return {
    report,
    certificates: dataOf(CERTIFICATE_GUIDS),
    revocationLists: dataOf([TABLE_GUID.crl]),
  }
}
