/** What Azure's Evidence says, before anybody looked at a signature. */
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { parseQuote } from '../dcap/quote.ts'
import { snpClaims } from '../snp/claims.ts'
import { parseSnpReport } from '../snp/report.ts'
import { tdxClaims } from '../tdx/claims.ts'
import { parseTpmAttest } from '../tpm/attest.ts'
import { clockClaims } from '../tpm/claims.ts'
import { pcrClaims } from '../tpm/pcrs.ts'
import { parseAzSnpEvidence, parseAzTdxEvidence } from './evidence-json.ts'
import type { AzSnpEvidence } from './evidence.ts'
import { parseHclReport } from './hcl-report.ts'
import type { HclReport } from './hcl-report.ts'
import { parseHclRuntimeData } from './runtime-data.ts'

/** @throws FormatError */
export function unverifiedAzSnpClaims(bytes: Uint8Array): object {
  const { hclReport, quote } = parseAzSnpEvidence(bytes)
  const report = hclOf(hclReport, 'snp')
  const snp = snpClaims(parseSnpReport(report.hardware))
  return { tee: 'az-snp', snp, vtpm: vtpmOf(report, quote) }
}

/** @throws FormatError */
export function unverifiedAzTdxClaims(bytes: Uint8Array): object {
  const { hclReport, quote, tdQuote } = parseAzTdxEvidence(bytes)
  const report = hclOf(hclReport, 'tdx')
  const parsed = parseQuote(tdQuote)
  const { body } = parsed
  if (body.kind !== 'tdx') throw new FormatError('quote', 'tee_type', 4, `a quote of ${body.kind}`)
  return { tee: 'az-tdx', tdx: tdxClaims(parsed, body.report), vtpm: vtpmOf(report, quote) }
}

function hclOf(bytes: Uint8Array, type: HclReport['type']): HclReport {
  const report = parseHclReport(bytes)
  if (report.type === type) return report
  throw new FormatError('HCL report', 'report type', 1224, `of ${report.type}`)
}

function vtpmOf({ runtimeData }: HclReport, { message, banks }: AzSnpEvidence['quote']): object {
  const attest = parseTpmAttest(message)
  const { userData, vmConfiguration } = parseHclRuntimeData(runtimeData)
  return {
    reportData: toHex(attest.extraData),
    userData: toHex(userData),
    vmConfiguration,
    pcrs: pcrClaims(banks[0]?.values ?? new Map<number, Uint8Array>()),
    clock: clockClaims(attest),
  }
}
