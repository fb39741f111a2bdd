/** What is fuzzed, and with which samples: recorded ones where they are, and those of the fake authorities. */
import { toBase64 } from '../src/bytes/base64.ts'
import { equalBytes } from '../src/bytes/equal.ts'
import { toHex } from '../src/bytes/hex.ts'
import { toUtf8 } from '../src/bytes/text.ts'
import { FAKE_QE, FakeIntel } from '../src/testing/fake-intel.ts'
import { FakeAmd, GENOA_GUEST } from '../src/testing/fake-amd.ts'
import { prepareDcapEndorsements } from '../src/dcap/endorsements.ts'
import { parseQeIdentity } from '../src/dcap/qe-identity.ts'
import { encodeQuote, parseQuote } from '../src/dcap/quote.ts'
import { recogniseQuote } from '../src/dcap/recognise.ts'
import { parseTcbInfo } from '../src/dcap/tcb-info.ts'
import { parseOvmf } from '../src/formats/ovmf.ts'
import { encodePem, parsePem } from '../src/formats/pem.ts'
import { parseCertificate } from '../src/formats/x509-certificate.ts'
import { parseRevocationList } from '../src/formats/x509-crl.ts'
import { EndorsementCache } from '../src/result/endorsement-cache.ts'
import {
  TABLE_GUID,
  encodeCertificateTable,
  parseCertificateTable,
} from '../src/snp/certificate-table.ts'
import { encodeSnpEvidenceJson, parseSnpEvidenceJson } from '../src/snp/evidence-json.ts'
import { recogniseSnpEvidence } from '../src/snp/recognise.ts'
import { newSnpReport } from '../src/snp/report-template.ts'
import { encodeSnpReport, parseSnpReport } from '../src/snp/report.ts'
import { recorded, recordedBelow, recordedCertificates, same, shortenedJson } from './corpus.ts'
import { appraisal, parser } from './target.ts'
import type { Target } from './target.ts'

const NOW = new Date('2026-06-01T00:00:00Z')
const ANY_SNP = { reportData: 'any', measurement: 'any', hostData: 'any' } as const
const ANY_SGX = { reportData: 'any', mrEnclave: 'any', mrSigner: 'any' } as const

export async function targets(): Promise<readonly Target[]> {
  const amd = new FakeAmd()
  const evidence = amd.evidence(newSnpReport(GENOA_GUEST))
  const intel = new FakeIntel()
  const from = new Date(NOW.getTime() - 86_400_000)
  const until = new Date(NOW.getTime() + 86_400_000)
  const collateral = intel.endorsements('sgx', from, until)
  const prepared = await prepareDcapEndorsements(collateral, intel.root)
  const quote = intel.quote({
    kind: 'sgx',
    report: { ...FAKE_QE, attributes: Uint8Array.of(5, ...new Uint8Array(15)) },
  })
  const certificates = [...(evidence.certificates ?? []), ...recorded('snp/genoa-v5/vcek.der')]
  const lists = [
    amd.revocationList(from, until, [2, 3]),
    ...recorded('roots/intel-root-ca-crl-2025-06.der'),
  ]
  const reports = [
    evidence.report,
    ...recorded('snp/genoa-v5/report.bin', 'snp/milan-v2-azure/report.bin'),
  ]
  const quotes = [
    quote,
    ...recorded('tdx/v4-b0c0/quote.bin', 'tdx/v5-td15/quote.bin', 'sgx/v3-00a067/quote.bin'),
  ]
  const table = encodeCertificateTable([
    { guid: TABLE_GUID.vcek, data: certificates[0] ?? new Uint8Array() },
    { guid: TABLE_GUID.ark, data: new Uint8Array(9) },
  ])
  const json = toUtf8(JSON.stringify(encodeSnpEvidenceJson(evidence)))
  const cache = new EndorsementCache()
  return [
    parser(
      'SNP report',
      reports,
      (input) => same(encodeSnpReport(parseSnpReport(input)), input),
      recordedBelow('snp', 'report.bin', 'tampered/snp-v5-genoa-algo2.bin'),
    ),
    parser('SNP certificate table', [table], parseCertificateTable),
    parser('SNP JSON', [json], parseSnpEvidenceJson, [
      toUtf8(JSON.stringify(encodeSnpEvidenceJson({ report: evidence.report }))),
    ]),
    parser('SNP recognise', [json, ...reports], recogniseSnpEvidence, [
      toUtf8(toBase64(evidence.report)),
      toUtf8(toHex(evidence.report)),
      ...recorded('snp/genoa-v5/evidence.json'),
    ]),
    parser('certificate', certificates, parseCertificate, recordedCertificates()),
    parser(
      'revocation list',
      lists,
      parseRevocationList,
      recordedBelow('roots', '-crl-2025-06.der'),
    ),
    parser(
      'PEM',
      [toUtf8(encodePem('CERTIFICATE', certificates[0] ?? new Uint8Array()))],
      parsePem,
      recorded('nitro/nitro-root.pem', 'nvidia/roots/device_root.pem', 'tdx/certs/root_ca.pem'),
    ),
    parser(
      'quote',
      quotes,
      (input) => same(encodeQuote(parseQuote(input)), input),
      recordedBelow('tdx', 'quote.bin', 'trailing-nonzero.bin'),
    ),
    parser('quote recognise', [...quotes, toUtf8(`{"quote":""}`)], recogniseQuote, [
      toUtf8(`{"quote":"${toBase64(quote)}"}`),
      toUtf8(toHex(quote)),
    ]),
    parser('TCB info', [...collateral.tcbInfos], parseTcbInfo, recordedTcbInfos()),
    parser(
      'QE identity',
      [...collateral.qeIdentities],
      parseQeIdentity,
      recorded('tdx/v4-00806f/2025-07/td_qe_identity.json'),
    ),
    parser(
      'OVMF',
      [...recorded('measure/ovmf_AmdSev_suffix.bin'), new Uint8Array(4096)],
      parseOvmf,
      recorded('measure/ovmf_OvmfX64_suffix.bin'),
    ),
    appraisal('SNP appraisal', [evidence.report], async (report) => {
      const changed = { ...evidence, report }
      const result = await amd.appraise(changed, { expect: ANY_SNP, now: NOW, cache })
      if (result.status === 'affirming' && !equalBytes(report, evidence.report))
        throw new Error('a changed report was accepted')
    }),
    appraisal('SNP endorsements', certificates, async (certificate) => {
      const changed = { ...evidence, certificates: [certificate] }
      await amd.appraise(changed, { expect: ANY_SNP, now: NOW })
    }),
    appraisal('SGX appraisal', [quote], async (input) => {
      const options = { expect: ANY_SGX, now: NOW, endorsements: prepared }
      const result = await intel.appraiseSgx(input, options)
      const signed = quote.subarray(0, 432)
      if (result.status === 'affirming' && !equalBytes(input.subarray(0, 432), signed))
        throw new Error('a changed quote was accepted')
    }),
  ]
}

function recordedTcbInfos(): Uint8Array[] {
  const infos = recorded('tdx/v4-00806f/2025-07/tcb_info.json', 'tdx/v5-td15/tcb_info.json')
  return [...infos, ...infos.map(shortenedJson)]
}
