import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FormatError } from '../bytes/format-error.ts'
import { fromUtf8, toUtf8 } from '../bytes/text.ts'
import { EndorsementCache } from '../result/endorsement-cache.ts'
import { WITH_VECTORS, vector } from '../testing/vectors.ts'
import { ANY_PCRS } from '../tpm/policy.ts'
import { appraiseAzSnp } from './appraise-snp.ts'
import type { AzSnpAppraisal, AzSnpAppraiseOptions } from './appraise-snp.ts'
import { AZURE_CHECKS } from './check-codes.ts'
import type { AzureCheckCode } from './check-codes.ts'
import { parseAzSnpEvidence, parseAzTdxEvidence, parseAzureQuoteBinary } from './evidence-json.ts'
import type { AzSnpEvidence } from './evidence.ts'
import { encodeHclReport, parseHclReport } from './hcl-report.ts'
import { parseHclRuntimeData } from './runtime-data.ts'

const ANY = { ...ANY_PCRS, reportData: 'any', measurement: 'any', hostData: 'any' } as const
const NOW = new Date('2026-06-01T00:00:00Z')
const SAMPLE = 'azure/snp-milan-v3/evidence-v1.json'
const good = (): AzSnpEvidence => parseAzSnpEvidence(vector(SAMPLE))
const CACHE = new EndorsementCache()

function appraise(
  evidence: AzSnpEvidence | Uint8Array,
  options: Partial<AzSnpAppraiseOptions> = {},
): Promise<AzSnpAppraisal> {
  return appraiseAzSnp(evidence, { expect: ANY, now: NOW, cache: CACHE, ...options })
}

/** The HCL report with other runtime data, all lengths right. */
function withRuntime(change: (text: string) => string): AzSnpEvidence {
  const evidence = good()
  const report = parseHclReport(evidence.hclReport)
  const text = change(fromUtf8('json', 'text', report.runtimeData))
  const hclReport = encodeHclReport({ ...report, runtimeData: toUtf8(text) })
  return { ...evidence, hclReport }
}

const CASES: readonly (readonly [
  AzureCheckCode,
  () => AzSnpEvidence | Uint8Array,
  Partial<AzSnpAppraiseOptions>?,
])[] = [
  ['azure.evidence.malformed', () => toUtf8('{}')],
  ['azure.evidence.malformed', () => toUtf8('{"version":3}')],
  ['azure.hcl.malformed', () => ({ ...good(), hclReport: good().hclReport.subarray(0, 2345) })],
  [
    'azure.hcl.malformed',
    () => {
      const hclReport = good().hclReport.slice()
      hclReport[hclReport.length - 1] = 1
      return { ...good(), hclReport }
    },
  ],
  [
    'azure.hcl.type-mismatch',
    () => ({ ...good(), hclReport: vector('azure/tdx-00806f/hcl-report.bin') }),
  ],
  ['azure.hcl.binding-mismatch', () => withRuntime((text) => `${text} `)],
  [
    'azure.runtime-data.malformed',
    () => withRuntime((text) => text.replace('"vm-configuration"', '"keys":[],"vm-configuration"')),
  ],
  [
    'azure.runtime-data.malformed',
    () => withRuntime((text) => text.replace('"HCLEkPub"', '"HCLAkPub"')),
  ],
  [
    'azure.runtime-data.malformed',
    () => withRuntime((text) => text.replace('"kty"', String.raw`"kty":"EC","\u006bty"`)),
  ],
  ['azure.user-data.mismatch', good, { expect: { ...ANY, userData: '01'.repeat(64) } }],
  [
    'azure.user-data.mismatch',
    () => ({ ...good(), version: 2 }),
    { expect: { ...ANY, reportData: toUtf8('challenge') } },
  ],
  ['azure.init-data.mismatch', good, { expect: { ...ANY, initData: '01'.repeat(32) } }],
]

const seen = new Set<string>()

for (const [index, [code, evidence, options]] of CASES.entries())
  test(`case ${index}: ${code}`, WITH_VECTORS, async () => {
    const result = await appraise(evidence(), options)
    assert.equal(result.status, 'contraindicated')
    assert.ok(result.reasons.includes(code), result.reasons.join())
    seen.add(code)
  })

test('every code of the union has a case', WITH_VECTORS, () => {
  assert.deepEqual(
    Object.keys(AZURE_CHECKS).filter((code) => !seen.has(code)),
    [],
  )
})

test('expected user data and names of the hardware are read strictly', WITH_VECTORS, async () => {
  const accepted = await appraise(good(), { expect: { ...ANY, userData: '00'.repeat(64) } })
  assert.equal(accepted.status, 'warning')
  const { pcr0: _, ...without } = ANY
  await assert.rejects(appraise(good(), { expect: without as typeof ANY }), TypeError)
  const misspelt = { ...ANY, mesurement: 'any' }
  await assert.rejects(appraise(good(), { expect: misspelt }), TypeError)
})

test('recorded bytes, cut or changed, give a value or a format error', WITH_VECTORS, () => {
  const hcl = vector('azure/tdx-00806f/hcl-report.bin')
  const samples = [
    [parseHclReport, hcl],
    [parseHclRuntimeData, parseHclReport(hcl).runtimeData],
    [parseAzureQuoteBinary, vector('azure/tdx-00806f/quote.bin')],
    [parseAzSnpEvidence, vector(SAMPLE)],
    [parseAzTdxEvidence, vector('azure/tdx-00806f/evidence-v1.json')],
  ] as const
  for (const [parse, sample] of samples) {
    const step = Math.ceil(sample.length / 300)
    for (let at = 0; at < sample.length; at += step) {
      onlyFormatError(() => parse(sample.subarray(0, at)))
      for (const word of [0, 1, 0xffff_ffff]) {
        const changed = Uint8Array.from(sample)
        new DataView(changed.buffer).setUint32(Math.min(at, sample.length - 4), word, true)
        onlyFormatError(() => parse(changed))
      }
    }
  }
})

function onlyFormatError(run: () => unknown): void {
  try {
    run()
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
  }
}
