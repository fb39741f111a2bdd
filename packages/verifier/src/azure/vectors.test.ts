import assert from 'node:assert/strict'
import { test } from 'node:test'
import { appraise } from '../appraisal/appraise.ts'
import { equalBytes } from '../bytes/equal.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import { fromUtf8, toUtf8 } from '../bytes/text.ts'
import { WITH_VECTORS, vector } from '../testing/vectors.ts'
import { CheckList } from '../result/check.ts'
import type { TpmQuoteCheckCode } from '../tpm/check-codes.ts'
import { parseTpmAttest } from '../tpm/attest.ts'
import { extend } from '../eventlog/replay.ts'
import { ANY_PCRS } from '../tpm/policy.ts'
import { checkNonce, readAttestationKey, verifyTpmQuote } from '../tpm/verify.ts'
import type { AzSnpAppraisal, AzSnpAppraiseOptions } from './appraise-snp.ts'
import type { AzTdxAppraisal, AzTdxAppraiseOptions } from './appraise-tdx.ts'
import {
  parseAzSnpEvidence,
  parseAzTdxEvidence,
  parseAzureQuote,
  parseAzureQuoteBinary,
} from './evidence-json.ts'
import type { AzSnpEvidence } from './evidence.ts'
import { encodeHclReport, parseHclReport } from './hcl-report.ts'
import { parseHclRuntimeData } from './runtime-data.ts'

const CHALLENGE = toHex(toUtf8('challenge'))
const GENOA_NONCE =
  '0218488bae25d2509232bf676f1a66a30d7372add909109b36016ef136f2938ca05475f8b46094de6b64270ea35d950f'
const NOW = new Date('2026-06-01T00:00:00Z')
const SNP_ANY = { ...ANY_PCRS, reportData: 'any', measurement: 'any', hostData: 'any' } as const
const TDX_ANY = {
  ...ANY_PCRS,
  reportData: 'any',
  mrTd: 'any',
  mrConfigId: 'any',
  rtmr0: 'any',
  rtmr1: 'any',
  rtmr2: 'any',
  rtmr3: 'any',
} as const

function snp(
  evidence: string | AzSnpEvidence,
  options: Partial<AzSnpAppraiseOptions> = {},
): Promise<AzSnpAppraisal> {
  return appraise(typeof evidence === 'string' ? vector(`azure/${evidence}`) : evidence, {
    tee: 'az-snp',
    expect: SNP_ANY,
    now: NOW,
    ...options,
  })
}

function tdx(file: string, options: Partial<AzTdxAppraiseOptions> = {}): Promise<AzTdxAppraisal> {
  return appraise(vector(`azure/tdx-00806f/${file}`), {
    tee: 'az-tdx',
    expect: TDX_ANY,
    now: NOW,
    ...options,
  })
}

function reasonsOf(result: AzSnpAppraisal | AzTdxAppraisal): readonly string[] {
  return result.status === 'affirming' ? [] : result.reasons
}

test('Genoa, version 0: valid with its nonce, refused with another', WITH_VECTORS, async () => {
  const result = await snp('snp-genoa/evidence-v0.json', {
    expect: { ...SNP_ANY, reportData: GENOA_NONCE },
  })
  assert.ok(result.status === 'affirming' || result.status === 'warning', toText(result))
  assert.deepEqual(result.anchor, { kind: 'hardware', line: 'Genoa' })
  assert.ok(result.claims.vtpm.pcrs.pcr8?.startsWith('16f09f1e'))
  assert.equal(
    result.claims.vtpm.pcrs.pcr0,
    'afd689d0bb1c5f36f023fbaf574135f555a28a10c1f6b938d2a25e70c7783338',
  )
  const other = await snp('snp-genoa/evidence-v0.json', {
    expect: { ...SNP_ANY, reportData: CHALLENGE },
  })
  assert.deepEqual(reasonsOf(other), ['tpm.nonce.mismatch'])
})

test('a Genoa VCEK does not lead to the root of Milan, nor the reverse', WITH_VECTORS, async () => {
  const evidence = parseAzSnpEvidence(vector('azure/snp-milan-v3/evidence-v0.json'))
  const certificates = [vector('azure/snp-genoa/vcek.pem')]
  const result = await snp({ ...evidence, certificates })
  assert.equal(result.status, 'contraindicated')
})

test('Milan, versions 0 and 1, and an older report', WITH_VECTORS, async () => {
  for (const file of [
    'snp-milan-v3/evidence-v0.json',
    'snp-milan-v3/evidence-v1.json',
    'snp-milan-v2/evidence-v1.json',
  ]) {
    const result = await snp(file, { expect: { ...SNP_ANY, reportData: CHALLENGE } })
    assert.equal(result.status, 'warning', `${file} ${toText(result)}`)
    for (const reason of reasonsOf(result))
      assert.ok(['snp.chip.not-enrolled', 'snp.firmware.provisional'].includes(reason), reason)
    assert.equal(result.claims.vtpm.userData, '00'.repeat(64))
    const other = await snp(file, { expect: { ...SNP_ANY, reportData: '00' } })
    assert.deepEqual(reasonsOf(other), ['tpm.nonce.mismatch'])
  }
})

test('changes of the HCL report are refused, each for its reason', WITH_VECTORS, async () => {
  const evidence = parseAzSnpEvidence(vector('azure/snp-milan-v2/evidence-v1.json'))
  const hclReport = vector('azure/snp-milan-v2/hcl-report.bin')
  assert.ok(equalBytes(evidence.hclReport, hclReport))
  assert.ok(equalBytes(encodeHclReport(parseHclReport(hclReport)), hclReport))
  const cases = [
    [0x1a6, (_byte: number) => 0, 'snp.endorsement.tcb-mismatch'],
    [0x6e0, (byte: number) => byte + 1, 'azure.hcl.binding-mismatch'],
    [0x540, (_byte: number) => 0, 'azure.runtime-data.malformed'],
  ] as const
  for (const [offset, change, code] of cases) {
    const changed = hclReport.slice()
    changed[offset] = change(changed[offset] as number)
    const result = await snp({ ...evidence, hclReport: changed })
    assert.equal(result.status, 'contraindicated')
    assert.ok(reasonsOf(result).includes(code), `${code}: ${reasonsOf(result).join()}`)
  }
})

test('bare quotes under the key of their HCL report', WITH_VECTORS, async () => {
  for (const folder of ['snp-milan-v2', 'tdx-00806f']) {
    const hcl = parseHclReport(vector(`azure/${folder}/hcl-report.bin`))
    const { ak: spki } = parseHclRuntimeData(hcl.runtimeData)
    const text = fromUtf8('json', 'text', vector(`azure/${folder}/tpm-quote-v1.json`))
    const checks = new CheckList<TpmQuoteCheckCode>()
    const ak = await readAttestationKey(spki, checks)
    assert.ok(ak)
    const quote = parseAzureQuote(JSON.parse(text), 'hex')
    const verified = await verifyTpmQuote(quote, ak, checks)
    assert.ok(verified)
    checkNonce(verified, [toUtf8('challenge')], undefined, checks)
    assert.ok(checks.checks.every(({ outcome }) => outcome === 'pass'))
    checkNonce(verified, [toUtf8('another')], undefined, checks)
    assert.equal(checks.checks.at(-1)?.outcome, 'fail')
    // The old serialisation is of another moment or key; it parses.
    assert.equal(parseAzureQuoteBinary(vector(`azure/${folder}/quote.bin`)).banks.length, 1)
  }
  // Two files of a third quote: none of the samples holds the key that signed it.
  const { extraData } = parseTpmAttest(vector('azure/snp-milan-v2/tpm-quote.msg'))
  assert.equal(toHex(extraData), CHALLENGE)
  assert.equal(vector('azure/snp-milan-v2/tpm-quote.sig').length, 256)
})

/** Collateral of FMSPC 00806f, and an instant within it. */
const IN_JULY = new Date('2025-07-20T00:00:00Z')
function collateral() {
  const file = (name: string) => vector(`tdx/v4-00806f/2025-07/${name}`)
  return {
    certificates: [vector('tdx/certs/tcb_signing.der'), vector('tdx/certs/root_ca.der')],
    revocationLists: [file('root_ca_crl.der'), file('pck_platform_crl.der')],
    tcbInfos: [file('tcb_info.json')],
    qeIdentities: [file('td_qe_identity.json')],
  }
}

test(
  'TDX, three encodings: out of date, or a warning where that is accepted',
  WITH_VECTORS,
  async () => {
    const expect = { ...TDX_ANY, reportData: CHALLENGE }
    for (const file of ['evidence-v0.json', 'evidence-v1.json', 'evidence-v1b.json']) {
      const options = { expect, endorsements: collateral(), now: IN_JULY }
      const refused = await tdx(file, options)
      assert.equal(refused.status, 'contraindicated')
      assert.deepEqual(reasonsOf(refused), ['dcap.tcb.status'], toText(refused))
      assert.equal(refused.tcbStatus, 'OutOfDate')
      assert.deepEqual(refused.advisories, ['INTEL-SA-00960', 'INTEL-SA-00982', 'INTEL-SA-00986'])
      const accepted = await tdx(file, { ...options, policy: { acceptTcbStatuses: ['OutOfDate'] } })
      assert.equal(accepted.status, 'warning')
      assert.equal(
        accepted.claims.vtpm.pcrs.pcr0,
        '782b20b10f55cc46e2142cc2145d548698073e5beb82752c8d7f9279f0d8a273',
      )
      assert.ok(accepted.claims.tdx.mrTd.startsWith('024a32b0'))
      const other = await tdx(file, { ...options, expect: { ...expect, reportData: '00' } })
      assert.ok(reasonsOf(other).includes('tpm.nonce.mismatch'))
    }
  },
)

test('the TD quote must vouch for the runtime data', WITH_VECTORS, async () => {
  const evidence = parseAzTdxEvidence(vector('azure/tdx-00806f/evidence-v1.json'))
  const hclReport = vector('azure/tdx-00806f/hcl-report.bin')
  const tdQuote = vector('azure/tdx-00806f/td-quote.bin')
  assert.ok(equalBytes(evidence.hclReport, hclReport) && equalBytes(evidence.tdQuote, tdQuote))
  const changed = hclReport.slice()
  changed[0x880] = (changed[0x880] as number) + 1
  const result = await appraise(
    { ...evidence, hclReport: changed },
    { tee: 'az-tdx', expect: TDX_ANY, now: IN_JULY, endorsements: collateral() },
  )
  assert.equal(result.status, 'contraindicated')
  assert.ok(reasonsOf(result).includes('azure.hcl.binding-mismatch'))
})

test('PCR 8 after the init data that the samples compute', async () => {
  const digest = fromHex('8505e4e25e50a27c5dc8147af88efbece627fbea55291911eff832d9ee127781')
  assert.equal(
    toHex(await extend('sha256', new Uint8Array(32), digest)),
    'bddaccb9c52249e97a31baea61b7d91be8221a16e703d92148d04fb8e9c1dfdd',
  )
})

function toText(value: unknown): string {
  return JSON.stringify(value, null, 1)
}
