import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concatBytes } from '../bytes/concat.ts'
import { SGX_CHECKS } from '../sgx/check-codes.ts'
import type { SgxPolicy } from '../sgx/policy.ts'
import { TDX_CHECKS } from '../tdx/check-codes.ts'
import type { TdxPolicy } from '../tdx/policy.ts'
import { ANY_ENCLAVE, ANY_TD } from '../testing/any-expectation.ts'
import {
  FAKE_PCK,
  FAKE_QE,
  FAKE_TD,
  FakeIntel,
  fakeQeIdentity,
  fakeTcbInfo,
} from '../testing/fake-intel.ts'
import type { FakeQuoteOptions } from '../testing/fake-intel.ts'
import type { DcapTcb } from './appraise-tcb.ts'
import type { DcapEndorsements } from './endorsements.ts'
import type { EnclaveReport } from './enclave-report.ts'
import type { TdReport } from './td-report.ts'

// Every rule has a case that breaks it; codes that come along must be named.

const NOW = new Date('2026-06-01T00:00:00Z')
const day = (days: number) => new Date(NOW.getTime() + days * 86_400_000)
const INTEL = new FakeIntel()
const OTHER = new FakeIntel()

const zeros = (length: number) => new Uint8Array(length)
const TD = FAKE_TD
const TD15 = { ...TD, teeTcbSvn2: TD.teeTcbSvn, mrServiceTd: zeros(48) }
const ENCLAVE: EnclaveReport = { ...FAKE_QE, attributes: Uint8Array.of(0x05, ...zeros(15)) }

interface Case {
  readonly code: string
  readonly outcome?: 'fail' | 'undecided' | 'warning' | 'not-checked'
  readonly td?: Partial<TdReport>
  /** Makes it an SGX case. */
  readonly enclave?: Partial<EnclaveReport>
  readonly quote?: FakeQuoteOptions
  readonly bytes?: Uint8Array
  readonly collateral?: Partial<DcapEndorsements>
  readonly policy?: TdxPolicy & SgxPolicy
  readonly early?: Partial<DcapEndorsements>
  readonly expect?: object
  readonly now?: Date
  readonly also?: readonly string[]
}

const seen = new Set<string>()
const COLLATERAL = {
  tdx: INTEL.endorsements('tdx', day(-1), day(1)),
  sgx: INTEL.endorsements('sgx', day(-1), day(1)),
}

async function run({
  td,
  enclave,
  quote,
  bytes,
  collateral,
  policy = {},
  early,
  expect,
  now = NOW,
}: Case) {
  if (enclave !== undefined) {
    const body = { kind: 'sgx', report: { ...ENCLAVE, ...enclave } } as const
    const endorsements = { ...COLLATERAL.sgx, ...collateral }
    const options = { expect: { ...ANY_ENCLAVE, ...expect }, now, policy, endorsements }
    return INTEL.appraiseSgx(bytes ?? INTEL.quote(body, quote), options)
  }
  const version = td?.mrServiceTd === undefined ? 4 : 5
  const body = { kind: 'tdx', report: { ...TD, ...td } } as const
  const endorsements = { ...COLLATERAL.tdx, ...collateral }
  const options = {
    expect: { ...ANY_TD, ...expect },
    now,
    policy,
    endorsements,
    ...(early !== undefined && { earlyEndorsements: { ...COLLATERAL.tdx, ...early } }),
  }
  return INTEL.appraiseTdx(bytes ?? INTEL.quote(body, { version, ...quote }), options)
}

const svn = (value: number): FakeQuoteOptions => ({
  pck: { components: Array.from({ length: 16 }, () => value) },
})
const info = (change: object): Partial<DcapEndorsements> => ({
  tcbInfos: [INTEL.statement('tcbInfo', { ...fakeTcbInfo('tdx', day(-1), day(1)), ...change })],
})
const dated = (from: number, until: number): Partial<DcapEndorsements> => ({
  tcbInfos: [INTEL.statement('tcbInfo', fakeTcbInfo('tdx', day(from), day(until)))],
})
const identityDated = (from: number, until: number): Partial<DcapEndorsements> => ({
  qeIdentities: [INTEL.statement('enclaveIdentity', fakeQeIdentity('tdx', day(from), day(until)))],
})
/** The next recovery, which raises what counts as up to date above the platform. */
function stricter(): Partial<DcapEndorsements> {
  const next = fakeTcbInfo('tdx', day(-1), day(1))
  const tcbLevels = next.tcbLevels.map((level) =>
    level.tcbStatus === 'UpToDate' ? { ...level, tcbStatus: 'OutOfDate' } : level,
  )
  return { tcbInfos: [INTEL.statement('tcbInfo', { ...next, tcbLevels })] }
}
const lists = (...revocationLists: readonly Uint8Array[]) => ({ revocationLists })
const rootList = INTEL.list('root', day(-1), day(1))
const caList = INTEL.list('ca', day(-1), day(1))
const short = { pck: {}, certification: { type: 3, data: zeros(404) } }
const tdField = (code: string, name: string, size = 48): Case => ({
  code,
  expect: { [name]: zeros(size).fill(9) },
})
const sgxField = (code: string, name: string, size: number): Case => ({
  ...tdField(code, name, size),
  enclave: {},
})

const CASES: readonly Case[] = [
  { code: 'dcap.quote.malformed', bytes: zeros(0) },
  { code: 'dcap.quote.malformed', bytes: Uint8Array.of(4, 0) },
  { code: 'dcap.quote.version-unsupported', bytes: Uint8Array.of(6, 0, 2, 0) },
  { code: 'dcap.quote.key-type-unsupported', quote: { header: { attestationKeyType: 3 } } },
  { code: 'dcap.quote.vendor-unknown', quote: { header: { vendorId: zeros(16) } } },
  { code: 'dcap.quote.tee-mismatch', bytes: INTEL.quote({ kind: 'sgx', report: ENCLAVE }) },
  { code: 'dcap.quote.signature-invalid', quote: { after: { signature: zeros(64).fill(1) } } },
  {
    code: 'dcap.quote.signature-invalid',
    quote: { after: { attestationKey: zeros(64).fill(1) } },
    also: ['dcap.qe.key-mismatch'],
  },
  { code: 'dcap.qe.signature-invalid', quote: { after: { qeReportSignature: zeros(64).fill(1) } } },
  { code: 'dcap.qe.key-mismatch', quote: { after: { qeAuthData: zeros(0) } } },
  { code: 'dcap.qe.key-mismatch', quote: { qeReport: { reportData: zeros(64) } } },
  { code: 'dcap.qe.identity-mismatch', quote: { qeReport: { mrSigner: zeros(32) } } },
  { code: 'dcap.qe.identity-mismatch', quote: { qeReport: { isvProdId: 1 } } },
  {
    code: 'dcap.qe.identity-mismatch',
    quote: { qeReport: { miscSelect: Uint8Array.of(1, 0, 0, 0) } },
  },
  {
    code: 'dcap.qe.identity-mismatch',
    quote: { qeReport: { attributes: Uint8Array.of(0x13, ...zeros(15)) } },
  },
  { code: 'dcap.pck.missing', outcome: 'undecided', quote: short },
  {
    code: 'dcap.pck.malformed',
    quote: { certification: INTEL.pckChain(INTEL.plainCertificate()) },
  },
  { code: 'dcap.endorsement.malformed', quote: { certification: { type: 5, data: zeros(3) } } },
  {
    // A chain that says it is a leaf alone.
    code: 'dcap.endorsement.malformed',
    quote: { certification: { ...INTEL.pckChain(INTEL.pckCertificate()), type: 4 } },
  },
  {
    code: 'dcap.endorsement.malformed',
    collateral: { certificates: [zeros(3)] },
    also: ['dcap.tcb-info.missing', 'dcap.qe-identity.missing'],
  },
  {
    code: 'dcap.endorsement.untrusted-root',
    quote: { certification: OTHER.pckChain(OTHER.pckCertificate()) },
  },
  {
    code: 'dcap.endorsement.untrusted-root',
    quote: { certification: INTEL.pckChain(OTHER.pckCertificate()) },
  },
  {
    code: 'dcap.endorsement.name-mismatch',
    quote: { certification: INTEL.pckChain(INTEL.pckCertificate({}, 'Somebody')) },
  },
  {
    code: 'dcap.endorsement.expired',
    outcome: 'undecided',
    now: new Date('2050-01-01'),
    collateral: { ...INTEL.endorsements('tdx', new Date('2049-12-01'), new Date('2050-12-01')) },
  },
  {
    code: 'dcap.endorsement.not-yet-valid',
    now: new Date('2019-01-01'),
    collateral: { ...INTEL.endorsements('tdx', new Date('2018-12-01'), new Date('2019-12-01')) },
  },
  { code: 'dcap.revocation.missing', outcome: 'undecided', collateral: lists() },
  { code: 'dcap.revocation.missing', outcome: 'undecided', collateral: lists(rootList) },
  { code: 'dcap.revocation.missing', outcome: 'undecided', collateral: lists(caList) },
  {
    code: 'dcap.revocation.missing',
    outcome: 'not-checked',
    collateral: lists(),
    policy: { allowMissingRevocationLists: true },
  },
  {
    code: 'dcap.revocation.signature-invalid',
    collateral: lists(rootList, OTHER.list('ca', day(-1), day(1))),
  },
  {
    code: 'dcap.revocation.expired',
    outcome: 'undecided',
    collateral: lists(rootList, INTEL.list('ca', day(-3), day(-1))),
  },
  {
    code: 'dcap.revocation.not-yet-valid',
    collateral: lists(INTEL.list('root', day(1), day(2)), caList),
  },
  {
    code: 'dcap.revocation.revoked',
    collateral: lists(rootList, INTEL.list('ca', day(-1), day(1), [4])),
  },
  {
    code: 'dcap.revocation.revoked',
    collateral: lists(INTEL.list('root', day(-1), day(1), [2]), caList),
  },
  {
    code: 'dcap.revocation.revoked',
    collateral: lists(INTEL.list('root', day(-1), day(1), [3]), caList),
  },
  { code: 'dcap.tcb-info.missing', outcome: 'undecided', collateral: { tcbInfos: [] } },
  {
    // Nobody signed falsely: the certificate that would tell was not given.
    code: 'dcap.tcb-info.missing',
    outcome: 'undecided',
    collateral: { certificates: [INTEL.caCertificate, INTEL.rootCertificate] },
    also: ['dcap.qe-identity.missing'],
  },
  { code: 'dcap.tcb-info.mismatch', quote: { pck: { fmspc: '000000000000' } } },
  { code: 'dcap.tcb-info.mismatch', quote: { pck: { pceId: '0001' } } },
  { code: 'dcap.tcb-info.mismatch', collateral: { tcbInfos: COLLATERAL.sgx.tcbInfos } },
  {
    code: 'dcap.tcb-info.signature-invalid',
    collateral: { tcbInfos: OTHER.endorsements('tdx', day(-1), day(1)).tcbInfos },
  },
  { code: 'dcap.tcb-info.expired', outcome: 'undecided', collateral: dated(-3, -1) },
  { code: 'dcap.tcb-info.not-yet-valid', collateral: dated(1, 3) },
  {
    code: 'dcap.qe-identity.missing',
    outcome: 'undecided',
    collateral: { qeIdentities: COLLATERAL.sgx.qeIdentities },
  },
  {
    code: 'dcap.qe-identity.signature-invalid',
    collateral: { qeIdentities: OTHER.endorsements('tdx', day(-1), day(1)).qeIdentities },
  },
  { code: 'dcap.qe-identity.expired', outcome: 'undecided', collateral: identityDated(-3, -1) },
  { code: 'dcap.qe-identity.not-yet-valid', collateral: identityDated(1, 3) },
  { code: 'dcap.tcb.not-supported', quote: svn(1) },
  { code: 'dcap.tcb.not-supported', quote: { pck: { pceSvn: 10 } } },
  { code: 'dcap.tcb.not-supported', quote: { qeReport: { isvSvn: 0 } } },
  { code: 'dcap.tcb.not-supported', td: { teeTcbSvn: Uint8Array.of(0, 1, 5, ...zeros(13)) } },
  { code: 'dcap.tcb.not-supported', td: { teeTcbSvn: Uint8Array.of(5, 1, 1, ...zeros(13)) } },
  { code: 'dcap.tcb.revoked', quote: svn(2) },
  { code: 'dcap.tcb.revoked', quote: { qeReport: { isvSvn: 1 } } },
  { code: 'dcap.tcb.revoked', td: { teeTcbSvn: Uint8Array.of(1, 1, 5, ...zeros(13)) } },
  { code: 'dcap.tcb.status', quote: svn(4) },
  { code: 'dcap.tcb.status', quote: svn(3) },
  { code: 'dcap.tcb.status', quote: { qeReport: { isvSvn: 2 } } },
  { code: 'dcap.tcb.status', td: { teeTcbSvn: Uint8Array.of(3, 1, 5, ...zeros(13)) } },
  {
    code: 'dcap.tcb.status',
    outcome: 'warning',
    quote: svn(4),
    policy: { acceptTcbStatuses: ['SWHardeningNeeded'] },
  },
  { code: 'dcap.tcb.early-status', outcome: 'warning', early: stricter() },
  {
    code: 'dcap.tcb.early-status',
    early: stricter(),
    policy: { refuseFailingEarlyTcb: true },
  },
  { code: 'dcap.tcb.early-status', outcome: 'warning', early: { tcbInfos: [zeros(4)] } },
  {
    code: 'dcap.tcb.early-status',
    outcome: 'undecided',
    policy: { refuseFailingEarlyTcb: true },
  },
  {
    code: 'dcap.tcb.early-status',
    outcome: 'undecided',
    early: dated(-9, -8),
    policy: { refuseFailingEarlyTcb: true },
  },
  { code: 'dcap.tcb.evaluation-below-minimum', policy: { minimumEvaluationDataNumber: 18 } },
  { code: 'dcap.platform.not-allowed', policy: { allowedPlatforms: [] } },
  { code: 'tdx.module.unknown', collateral: info({ tdxModuleIdentities: [] }) },
  { code: 'tdx.module.unknown', td: { teeTcbSvn: Uint8Array.of(5, 2, 5, ...zeros(13)) } },
  { code: 'tdx.module.mismatch', td: { mrSignerSeam: zeros(48).fill(1) } },
  { code: 'tdx.module.mismatch', td: { seamAttributes: zeros(8).fill(1) } },
  { code: 'tdx.module.not-allowed', policy: { allowedModules: [] } },
  { code: 'tdx.policy.debug', td: { tdAttributes: Uint8Array.of(1, 0, 0, 0x10, 0, 0, 0, 0) } },
  { code: 'tdx.policy.debug', td: { tdAttributes: Uint8Array.of(0x80, 0, 0, 0x10, 0, 0, 0, 0) } },
  { code: 'tdx.policy.migratable', td: { tdAttributes: Uint8Array.of(0, 0, 0, 0x30, 0, 0, 0, 0) } },
  { code: 'tdx.policy.sept-ve', outcome: 'warning', td: { tdAttributes: zeros(8) } },
  {
    code: 'tdx.policy.sept-ve',
    td: { tdAttributes: zeros(8) },
    policy: { requireSeptVeDisable: true },
  },
  {
    code: 'tdx.policy.reserved-bits',
    outcome: 'warning',
    td: { tdAttributes: Uint8Array.of(0, 1, 0, 0x10, 0, 0, 0, 0) },
  },
  {
    code: 'tdx.service-td.bound',
    outcome: 'warning',
    td: { ...TD15, mrServiceTd: zeros(48).fill(1) },
  },
  {
    code: 'tdx.service-td.bound',
    td: { ...TD15, mrServiceTd: zeros(48).fill(1) },
    policy: { allowedServiceTds: [] },
  },
  tdField('tdx.report-data.mismatch', 'reportData', 64),
  tdField('tdx.mr-td.mismatch', 'mrTd'),
  tdField('tdx.mr-config-id.mismatch', 'mrConfigId'),
  tdField('tdx.rtmr0.mismatch', 'rtmr0'),
  tdField('tdx.rtmr1.mismatch', 'rtmr1'),
  tdField('tdx.rtmr2.mismatch', 'rtmr2'),
  tdField('tdx.rtmr3.mismatch', 'rtmr3'),
  tdField('tdx.mr-owner.mismatch', 'mrOwner'),
  tdField('tdx.mr-owner-config.mismatch', 'mrOwnerConfig'),
  { code: 'sgx.policy.debug', enclave: { attributes: Uint8Array.of(0x07, ...zeros(15)) } },
  {
    code: 'sgx.policy.not-initialised',
    enclave: { attributes: Uint8Array.of(0x04, ...zeros(15)) },
  },
  sgxField('sgx.report-data.mismatch', 'reportData', 64),
  sgxField('sgx.mr-enclave.mismatch', 'mrEnclave', 32),
  sgxField('sgx.mr-signer.mismatch', 'mrSigner', 32),
  sgxField('sgx.config-id.mismatch', 'configId', 64),
  sgxField('sgx.isv-family-id.mismatch', 'isvFamilyId', 16),
  sgxField('sgx.isv-ext-prod-id.mismatch', 'isvExtProdId', 16),
  { code: 'sgx.isv-prod-id.mismatch', enclave: {}, policy: { isvProdId: 9 } },
  { code: 'sgx.isv-svn.below-minimum', enclave: {}, policy: { minimumIsvSvn: 9 } },
]

test('clean quotes of every version are affirming under the fake root, refused under the real one', async () => {
  const { appraiseTdx } = await import('../tdx/appraise.ts')
  for (const example of [
    { code: '' },
    { code: '', td: TD15 },
    { code: '', quote: { version: 5 } },
    { code: '', enclave: {} },
    { code: '', enclave: {}, quote: { version: 4 } },
    { code: '', enclave: {}, quote: { version: 5 } },
  ] satisfies readonly Case[]) {
    const result = await run(example)
    assert.equal(result.status, 'affirming', JSON.stringify(result.checks))
  }
  const real = await appraiseTdx(INTEL.quote({ kind: 'tdx', report: TD }), {
    expect: ANY_TD,
    now: NOW,
    endorsements: COLLATERAL.tdx,
  })
  assert.deepEqual(real.status === 'contraindicated' && real.reasons, [
    'dcap.endorsement.untrusted-root',
  ])
})

interface Appraised {
  readonly claims: { readonly tcb?: DcapTcb }
}

test('of several statements the latest evaluation counts, then the last issued, not what lasts longest', async () => {
  const statement = (evaluation: number, from: number, until: number) => {
    const { tcbLevels, ...rest } = fakeTcbInfo('tdx', day(from), day(until))
    // The date of a level tells which statement it was.
    const tcbDate = `2024-01-${evaluation}T00:00:00Z`
    return INTEL.statement('tcbInfo', {
      ...rest,
      tcbEvaluationDataNumber: evaluation,
      tcbLevels: tcbLevels.map((level) => ({ ...level, tcbDate })),
    })
  }
  const late = statement(18, -5, 1)
  for (const tcbInfos of [
    [statement(17, -1, 20), late],
    [late, statement(17, -1, 20)],
    [statement(19, -9, -1), late],
  ]) {
    const { tcb } = ((await run({ code: '', collateral: { tcbInfos } })) as Appraised).claims
    assert.equal(tcb?.tcbDate.slice(0, 10), '2024-01-18')
  }
  const later = info({
    tcbEvaluationDataNumber: 18,
    issueDate: day(-1).toISOString().replace('.000', ''),
  })
  const both = { tcbInfos: [statement(18, -5, 20), ...(later.tcbInfos ?? [])] }
  const { tcb } = ((await run({ code: '', collateral: both })) as Appraised).claims
  assert.notEqual(tcb?.tcbDate.slice(0, 10), '2024-01-18')
})

test('a quote that only names its PCK takes it from the endorsements', async () => {
  const data = concatBytes(zeros(384), FAKE_PCK.cpuSvn, Uint8Array.of(11, 0), zeros(2))
  const result = await run({
    code: '',
    quote: { certification: { type: 3, data } },
    collateral: { certificates: [...COLLATERAL.tdx.certificates, INTEL.pckCertificate()] },
  })
  assert.equal(result.status, 'affirming', JSON.stringify(result.checks))
})

test('a TD whose module was updated under it is advised to relaunch', async () => {
  const result = await run({
    code: '',
    td: { ...TD15, teeTcbSvn: Uint8Array.of(3, 1, 5, ...zeros(13)) },
    policy: { acceptTcbStatuses: ['TDRelaunchAdvised'] },
  })
  assert.equal(result.tcbStatus, 'TDRelaunchAdvised')
  assert.equal(result.status, 'warning')
  const old = Uint8Array.of(3, 1, 5, ...zeros(13))
  const still = await run({ code: '', td: { ...TD15, teeTcbSvn: old, teeTcbSvn2: old } })
  assert.equal(still.tcbStatus, 'OutOfDate')
})

for (const [index, example] of CASES.entries())
  test(`case ${index}: ${example.code} ${example.outcome ?? 'fail'}`, async () => {
    const { code, outcome = 'fail', also = [] } = example
    const result = await run(example)
    const found: string[] = result.checks
      .filter((check) => check.outcome === outcome)
      .map((check) => check.code)
    assert.ok(found.includes(code), `${code} not in ${found.join(', ')}`)
    if (outcome !== 'not-checked')
      assert.deepEqual(
        found.filter((other) => other !== code && !also.includes(other)),
        [],
      )
    const status = {
      fail: 'contraindicated',
      undecided: 'none',
      warning: 'warning',
      'not-checked': 'affirming',
    }
    assert.equal(result.status, status[outcome], JSON.stringify(result.checks))
    seen.add(code)
  })

test('every code of both unions has a case', () => {
  const all = new Set([...Object.keys(TDX_CHECKS), ...Object.keys(SGX_CHECKS)])
  assert.deepEqual(
    [...all].filter((code) => !seen.has(code)),
    [],
  )
})
