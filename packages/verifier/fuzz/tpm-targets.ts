/** Targets of TPM quotes, event logs and Azure's Evidence. */
import { equalBytes } from '../src/bytes/equal.ts'
import { fromUtf8 } from '../src/bytes/text.ts'
import { fromBase64 } from '../src/bytes/base64.ts'
import { parseAzSnpEvidence, parseAzTdxEvidence } from '../src/azure/evidence-json.ts'
import { encodeHclReport, parseHclReport } from '../src/azure/hcl-report.ts'
import { parseHclRuntimeData } from '../src/azure/runtime-data.ts'
import { parseCel } from '../src/eventlog/cel.ts'
import { eventDetails } from '../src/eventlog/event-details.ts'
import { encodeTcgLog, parseTcgLog } from '../src/eventlog/tcg-log.ts'
import { parseSignatureUpdate } from '../src/eventlog/uefi-variable.ts'
import { FakeTpm, fakeLog, goodBoot } from '../src/testing/fake-tpm.ts'
import { WITH_VECTORS, vector } from '../src/testing/vectors.ts'
import { appraiseTpm } from '../src/tpm/appraise.ts'
import { encodeTpmAttest, parseTpmAttest } from '../src/tpm/attest.ts'
import { ANY_PCRS } from '../src/tpm/policy.ts'
import { parseTpmPublicArea } from '../src/tpm/public-area.ts'
import { recogniseTpmEvidence } from '../src/tpm/recognise.ts'
import { appraisal, parser } from './target.ts'
import type { Target } from './target.ts'

const NOW = new Date('2026-06-01T00:00:00Z')

export async function tpmTargets(): Promise<readonly Target[]> {
  const tpm = new FakeTpm()
  const evidence = await tpm.evidence()
  const [quote] = evidence.quotes
  const message = quote?.message ?? new Uint8Array()
  const logs = [fakeLog(goodBoot()), ...recorded('tpm/eventlogs/rhel8-uefi.bin')]
  const reports = recorded('azure/snp-genoa/evidence-v0.json').map(
    (json) => parseAzSnpEvidence(json).hclReport,
  )
  const expect = { ...ANY_PCRS, reportData: 'any', ak: 'any' } as const
  const policy = { trustedRoots: [tpm.fingerprint] }
  const targets: Target[] = [
    parser('TPM quote', [message], (input) => same(encodeTpmAttest(parseTpmAttest(input)), input)),
    parser('TPM public area', [tpm.publicArea()], parseTpmPublicArea),
    parser('event log', logs, (input) => {
      const log = parseTcgLog(input)
      same(encodeTcgLog(log), input)
      for (const { type, data } of log.events) eventDetails(type, data)
    }),
    parser('TPM evidence', recordedEvidence(), recogniseTpmEvidence),
    parser('canonical log', canonicalLogs(), parseCel),
    parser('dbx', recorded('tpm/secure-boot/dbxupdate-2014-08-11.bin'), parseSignatureUpdate),
    parser('HCL report', reports, (input) => {
      const report = parseHclReport(input)
      same(encodeHclReport(report), input)
      parseHclRuntimeData(report.runtimeData)
    }),
    parser('Azure SNP', recorded('azure/snp-milan-v3/evidence-v1.json'), parseAzSnpEvidence),
    parser('Azure TDX', recorded('azure/tdx-00806f/evidence-v1.json'), parseAzTdxEvidence),
    appraisal('TPM appraisal', [message], async (input) => {
      const changed = quote === undefined ? [] : [{ ...quote, message: input }]
      const result = await appraiseTpm(
        { ...evidence, quotes: changed },
        { expect, policy, now: NOW },
      )
      if (result.status === 'affirming' && !equalBytes(input, message))
        throw new Error('a changed quote was accepted')
    }),
  ]
  return targets.filter(({ corpus }) => corpus.length > 0)
}

function recordedEvidence(): Uint8Array[] {
  return recorded('tpm/tpm_evidence.json', 'tpm/attestations/gce-cos-85-nonce9009.pb')
}

function canonicalLogs(): Uint8Array[] {
  return recorded('tpm/cel/cel.b64').map((text) =>
    fromBase64(fromUtf8('canonical log', 'text', text).trim()),
  )
}

function same(encoded: Uint8Array, input: Uint8Array): void {
  if (!equalBytes(encoded, input)) throw new Error('does not encode back to the same bytes')
}

function recorded(...paths: readonly string[]): Uint8Array[] {
  return WITH_VECTORS.skip === false ? paths.map(vector) : []
}
