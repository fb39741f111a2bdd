/**
 * SNP evidence as the KBS protocol has it (member order and number forms of the `sev` crate, which Trustee reads): the report
 * taken apart, and its certificates.
 */
import { parseCertificateTable, TABLE_GUID } from '@cloister/verifier/snp/certificate-table'
import { productLineOf, type ProductLine } from '@cloister/verifier/snp/product'
import type { FirmwareVersion, SnpReport } from '@cloister/verifier/snp/report'
import { readTcb } from '@cloister/verifier/snp/tcb'

const CERTIFICATE_TYPES: Readonly<Record<string, string>> = {
  [TABLE_GUID.ark]: 'ARK',
  [TABLE_GUID.ask]: 'ASK',
  [TABLE_GUID.vcek]: 'VCEK',
  [TABLE_GUID.vlek]: 'VLEK',
  [TABLE_GUID.crl]: 'CRL',
}

/** ECMAScript's source text access for JSON: u64 values do not fit its numbers. */
const { rawJSON } = JSON as unknown as { readonly rawJSON: (text: string) => unknown }

/** @throws FormatError for a certificate table that cannot be read */
export function snpEvidenceJson(report: SnpReport, certificates: Uint8Array): string {
  const chain = parseCertificateTable(certificates).map(({ guid, data }) => ({
    cert_type: CERTIFICATE_TYPES[guid] ?? { OTHER: guid },
    data: [...data],
  }))
  const evidence = {
    attestation_report: reportJson(report),
    cert_chain: chain.length === 0 ? null : chain,
  }
  return JSON.stringify(evidence, (_name, value: unknown) =>
    typeof value === 'bigint' ? rawJSON(value.toString()) : value,
  )
}

function reportJson(report: SnpReport): object {
  // A processor that we do not know is the Verifier's to refuse; version 2 reports have only the older layout.
  const line = (report.processor && productLineOf(report.processor)) ?? 'Milan'
  return {
    version: report.version,
    guest_svn: report.guestSvn,
    policy: report.policy.raw,
    family_id: [...report.familyId],
    image_id: [...report.imageId],
    vmpl: report.vmpl,
    sig_algo: report.signatureAlgorithm,
    current_tcb: tcbJson(report.currentTcb, line),
    plat_info: report.platformInfo.raw,
    key_info: report.keyInfo.raw,
    report_data: [...report.reportData],
    measurement: [...report.measurement],
    host_data: [...report.hostData],
    id_key_digest: [...report.idKeyDigest],
    author_key_digest: [...report.authorKeyDigest],
    report_id: [...report.reportId],
    report_id_ma: [...report.reportIdMa],
    reported_tcb: tcbJson(report.reportedTcb, line),
    cpuid_fam_id: report.processor?.family ?? null,
    cpuid_mod_id: report.processor?.model ?? null,
    cpuid_step: report.processor?.stepping ?? null,
    chip_id: [...report.chipId],
    committed_tcb: tcbJson(report.committedTcb, line),
    current: versionJson(report.current),
    committed: versionJson(report.committed),
    launch_tcb: tcbJson(report.launchTcb, line),
    launch_mit_vector: report.launchMitigationVector ?? null,
    current_mit_vector: report.currentMitigationVector ?? null,
    signature: { r: [...report.signature.r], s: [...report.signature.s] },
  }
}

function tcbJson(raw: Uint8Array, line: ProductLine): object {
  const { fmc, bootloader, tee, snp, microcode } = readTcb(raw, line)
  return { fmc, bootloader, tee, snp, microcode }
}

function versionJson({ major, minor, build }: FirmwareVersion): object {
  return { major, minor, build }
}
