/** Targets of TPM quotes, event logs and Azure's Evidence. */
import { equalBytes } from '../src/bytes/equal.ts'
import { fromUtf8 } from '../src/bytes/text.ts'
import { fromBase64 } from '../src/bytes/base64.ts'
import { parseAzSnpEvidence, parseAzTdxEvidence } from '../src/azure/evidence-json.ts'
import { encodeHclReport, parseHclReport } from '../src/azure/hcl-report.ts'
import { parseHclRuntimeData } from '../src/azure/runtime-data.ts'
import { parseCel } from '../src/eventlog/cel.ts'
import { diffLogs } from '../src/eventlog/diff-logs.ts'
import { eventDetails } from '../src/eventlog/event-details.ts'
import { explainLog } from '../src/eventlog/explain-log.ts'
import { encodeTcgLog, parseTcgLog } from '../src/eventlog/tcg-log.ts'
import { parseSignatureUpdate } from '../src/eventlog/uefi-variable.ts'
import { FakeTpm, fakeLog, goodBoot } from '../src/testing/fake-tpm.ts'
import { appraiseTpm } from '../src/tpm/appraise.ts'
import { encodeTpmAttest, parseTpmAttest } from '../src/tpm/attest.ts'
import { ANY_PCRS } from '../src/tpm/policy.ts'
import { parseTpmPublicArea } from '../src/tpm/public-area.ts'
import { recogniseTpmEvidence } from '../src/tpm/recognise.ts'
import { piecesOfLog, recorded, recordedBelow, same, shortenedJson } from './corpus.ts'
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
    parser(
      'TPM quote',
      [message],
      (input) => same(encodeTpmAttest(parseTpmAttest(input)), input),
      recorded('azure/snp-milan-v2/tpm-quote.msg'),
    ),
    parser('TPM public area', [tpm.publicArea()], parseTpmPublicArea),
    parser(
      'event log',
      logs,
      (input) => {
        const log = parseTcgLog(input)
        same(encodeTcgLog(log), input)
        for (const { type, data } of log.events) eventDetails(type, data)
      },
      recordedLogs().flatMap(piecesOfLog),
    ),
    parser(
      'TPM evidence',
      recordedEvidence(),
      recogniseTpmEvidence,
      recorded('tpm/tpm_evidence.json').map(shortenedJson),
    ),
    parser('canonical log', canonicalLogs(), parseCel),
    parser('dbx', recorded('tpm/secure-boot/dbxupdate-2014-08-11.bin'), parseSignatureUpdate),
    parser(
      'HCL report',
      reports,
      (input) => {
        const report = parseHclReport(input)
        same(encodeHclReport(report), input)
        parseHclRuntimeData(report.runtimeData)
      },
      recorded('azure/snp-milan-v2/hcl-report.bin', 'azure/tdx-00806f/hcl-report.bin'),
    ),
    parser(
      'Azure SNP',
      recorded('azure/snp-milan-v3/evidence-v1.json'),
      parseAzSnpEvidence,
      withShort('azure/snp-milan-v2/evidence-v1.json', 'azure/snp-milan-v3/evidence-v0.json'),
    ),
    parser(
      'Azure TDX',
      recorded('azure/tdx-00806f/evidence-v1.json'),
      parseAzTdxEvidence,
      withShort('azure/tdx-00806f/evidence-v1b.json', 'azure/tdx-00806f/evidence-v0.json'),
    ),
    appraisal('event log explanation', logs, async (input) => {
      const explained = await explainLog(input)
      diffLogs(explained, await explainLog(logs[0] ?? input, explained.bank))
    }),
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

function recordedLogs(): Uint8Array[] {
  return [
    ...recordedBelow('tpm/eventlogs', '.bin'),
    ...recorded(
      'eventlog/CCEL_AAEL_alibabacloud',
      'eventlog/CCEL_data',
      'eventlog/CCEL_data_ovmf',
      'eventlog/CCEL_data_grub_gke',
      'eventlog/CCEL_data_csv',
    ),
  ]
}

function withShort(...paths: readonly string[]): Uint8Array[] {
  const samples = recorded(...paths)
  return [...samples, ...samples.map(shortenedJson), ...samples.map(shortenedJson)]
}

function recordedEvidence(): Uint8Array[] {
  return recorded('tpm/tpm_evidence.json', 'tpm/attestations/gce-cos-85-nonce9009.pb')
}

function canonicalLogs(): Uint8Array[] {
  return recorded('tpm/cel/cel.b64').map((text) =>
    fromBase64(fromUtf8('canonical log', 'text', text).trim()),
  )
}
