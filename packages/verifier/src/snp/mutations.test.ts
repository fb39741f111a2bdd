import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { keySigner } from '../node/key-signer.ts'
import { FakeAmd } from '../testing/fake-amd.ts'
import { basicConstraintsExtension } from '../formats/x509-extensions.ts'
import { issueCertificate } from '../formats/x509-issue.ts'
import { EndorsementCache } from '../result/endorsement-cache.ts'
import { chainName } from './anchors.ts'
import type { SnpAppraisal, SnpAppraiseOptions } from './appraise.ts'
import { SNP_CHECKS } from './check-codes.ts'
import type { SnpCheckCode } from './check-codes.ts'
import { endorsementExtensions, signSnpReport } from './endorsement-issue.ts'
import type { SnpEvidence } from './evidence.ts'
import type { SnpPolicy } from './policy.ts'
import { readGuestPolicy, readKeyInfo, readPlatformInfo } from './report-flags.ts'
import type { SnpReport } from './report.ts'
import { VMPL_HOST, encodeSnpReport } from './report.ts'
import { newSnpReport } from './report-template.ts'

// Every rule has a case that breaks it: what comes out besides the expected code is a defect.

const NOW = new Date('2026-06-01T00:00:00Z')
const DAY = 86_400_000
const TCB = { fmc: null, bootloader: 10, tee: 0, snp: 23, microcode: 84 }
const CHIP = new Uint8Array(64).fill(7)
const ANY = { reportData: 'any', measurement: 'any', hostData: 'any' } as const
const GENOA = new FakeAmd()
const MILAN = new FakeAmd({ line: 'Milan' })
const TURIN = new FakeAmd({ line: 'Turin' })
const SIMULATED = new FakeAmd({ names: 'simulated' })

const template = {
  processor: { family: 0x19, model: 0x11, stepping: 1 },
  tcb: TCB,
  firmware: { major: 1, minor: 55, build: 40 },
  chipId: CHIP,
  measurement: new Uint8Array(48).fill(1),
  reportData: new Uint8Array(64).fill(2),
}
const REPORT = newSnpReport(template)
const VLEK_REPORT = { ...REPORT, keyInfo: readKeyInfo(1 << 2) }

interface Case {
  readonly code: SnpCheckCode
  readonly outcome?: 'fail' | 'undecided' | 'warning' | 'not-checked'
  readonly amd?: FakeAmd
  readonly evidence: SnpEvidence
  readonly options?: Partial<SnpAppraiseOptions>
  /** Codes that cannot but come along. */
  readonly also?: readonly SnpCheckCode[]
}

const seen = new Set<string>()

async function appraise({ amd = GENOA, evidence, options }: Case): Promise<SnpAppraisal> {
  return amd.appraise(evidence, { expect: ANY, now: NOW, ...options })
}

/** A signed report with some fields changed. */
function changed(change: Partial<SnpReport>): SnpEvidence {
  return GENOA.evidence({ ...REPORT, ...change })
}

/** A signed report with bytes changed before signing. */
function withBytes(offset: number, ...bytes: readonly number[]): SnpEvidence {
  const evidence = GENOA.evidence(REPORT)
  const report = Uint8Array.from(evidence.report)
  report.set(bytes, offset)
  const resigned = GENOA.leaf.signer.sign(report.subarray(0, 0x2a0))
  for (const [place, scalar] of [resigned.subarray(0, 48), resigned.subarray(48)].entries())
    report.set(Uint8Array.from(scalar).reverse(), 0x2a0 + place * 72)
  return { ...evidence, report }
}

function policyCase(code: SnpCheckCode, policy: SnpPolicy, evidence = changed({})): Case {
  return { code, evidence, options: { policy } }
}

function leafWith(
  change: Partial<Parameters<typeof endorsementExtensions>[0]>,
  drop?: string,
  amd = GENOA,
): Uint8Array {
  const extensions = endorsementExtensions({
    structureVersion: 0,
    productName: amd.line,
    tcb: TCB,
    hardwareId: CHIP,
    cspId: undefined,
    ...change,
  }).filter(({ oid }) => oid !== drop)
  return leaf(extensions, amd)
}

function leaf(
  extensions: Parameters<typeof issueCertificate>[0]['extensions'],
  amd = GENOA,
  name = 'SEV-VCEK',
): Uint8Array {
  const { naming, line, notBefore, notAfter } = amd.identity
  const subject = chainName(naming, name === 'SEV-VCEK' ? 'vcek' : 'vlek', line)
  return issueCertificate(
    {
      serial: 0,
      issuer: chainName(naming, 'ask', line),
      subject,
      notBefore,
      notAfter,
      spki: amd.leaf.spki,
      extensions: extensions ?? [],
    },
    amd.askSigner,
  )
}

function withLeaf(certificate: Uint8Array, report = REPORT): SnpEvidence {
  return {
    report: signSnpReport(report, GENOA.leaf.signer),
    certificates: [certificate, GENOA.ask, GENOA.ark],
  }
}

const lists = (...revocationLists: readonly Uint8Array[]): Partial<SnpAppraiseOptions> => ({
  endorsements: { revocationLists },
})
const from = (days: number) => new Date(NOW.getTime() + days * DAY)
const otherKey = keySigner(generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey)
const expectCase = (code: SnpCheckCode, name: string, size: number): Case => ({
  code,
  evidence: changed({}),
  options: { expect: { ...ANY, [name]: new Uint8Array(size).fill(0x55) } },
})

const CASES: readonly Case[] = [
  { code: 'snp.report.malformed', evidence: { report: new Uint8Array(1183) } },
  { code: 'snp.report.malformed', evidence: withBytes(0x49f, 1) },
  { code: 'snp.report.malformed', evidence: withBytes(0x30, 4) },
  { code: 'snp.report.version-unsupported', evidence: withBytes(0, 6) },
  { code: 'snp.report.version-unsupported', evidence: withBytes(0, 1) },
  { code: 'snp.report.reserved-bits', evidence: withBytes(0x4c, 1) },
  { code: 'snp.report.reserved-bits', evidence: withBytes(0x29f, 1) },
  { code: 'snp.report.reserved-bits', evidence: withBytes(0x0f, 0x80) },
  {
    code: 'snp.report.reserved-bits',
    outcome: 'warning',
    evidence: withBytes(0x4c, 1),
    options: { policy: { allowUnknownReservedBits: true } },
  },
  { code: 'snp.report.algorithm-unsupported', evidence: withBytes(0x34, 2) },
  { code: 'snp.report.chip-key-masked', evidence: changed({ keyInfo: readKeyInfo(2) }) },
  {
    code: 'snp.report.signing-key-unsupported',
    evidence: changed({ keyInfo: readKeyInfo(7 << 2) }),
  },
  {
    code: 'snp.report.signing-key-unsupported',
    evidence: changed({ keyInfo: readKeyInfo(2 << 2) }),
  },
  {
    code: 'snp.report.host-requested',
    evidence: changed({ vmpl: VMPL_HOST }),
    options: { policy: { vmpl: 'any' } },
  },
  {
    code: 'snp.signature.malformed',
    evidence: { ...changed({}), report: encodeSnpReport(REPORT) },
  },
  {
    code: 'snp.signature.invalid',
    evidence: { ...changed({}), report: signSnpReport(REPORT, otherKey) },
  },
  {
    code: 'snp.product.unknown',
    evidence: changed({ processor: { family: 0, model: 0, stepping: 0 } }),
  },
  {
    code: 'snp.product.mismatch',
    evidence: changed({ processor: { family: 0x19, model: 1, stepping: 1 } }),
  },
  { code: 'snp.product.mismatch', evidence: withLeaf(leafWith({ productName: 'Milan-B0' })) },
  policyCase('snp.product.distrusted', { distrustedLines: ['Genoa'] }),
  { code: 'snp.endorsement.malformed', evidence: withLeaf(Uint8Array.of(0x30, 0)) },
  { code: 'snp.endorsement.malformed', evidence: withLeaf(leafWith({}, '1.3.6.1.4.1.3704.1.3.8')) },
  {
    code: 'snp.endorsement.malformed',
    evidence: withLeaf(leafWith({ hardwareId: undefined })),
    also: ['snp.endorsement.chip-id-mismatch'],
  },
  { code: 'snp.endorsement.malformed', evidence: withLeaf(leafWith({ cspId: 'CN=x' })) },
  {
    code: 'snp.endorsement.missing',
    outcome: 'undecided',
    evidence: { ...changed({}), certificates: [] },
  },
  {
    code: 'snp.endorsement.missing',
    outcome: 'undecided',
    evidence: { ...changed({}), certificates: [GENOA.vcek(TCB, CHIP)] },
  },
  {
    code: 'snp.endorsement.kind-mismatch',
    evidence: { ...GENOA.evidence(VLEK_REPORT), certificates: [GENOA.vcek(TCB, CHIP)] },
  },
  {
    code: 'snp.endorsement.name-mismatch',
    evidence: {
      ...GENOA.evidence(VLEK_REPORT),
      certificates: [leaf([], GENOA, 'SEV-VLEK'), GENOA.ask, GENOA.ark],
    },
    also: ['snp.endorsement.malformed'],
  },
  {
    code: 'snp.endorsement.constraints',
    evidence: withLeaf(
      leaf([
        ...endorsementExtensions({
          structureVersion: 0,
          productName: 'Genoa',
          tcb: TCB,
          hardwareId: CHIP,
          cspId: undefined,
        }),
        basicConstraintsExtension(true),
      ]),
    ),
  },
  {
    code: 'snp.endorsement.signature-invalid',
    evidence: withLeaf(new FakeAmd().vcek(TCB, CHIP)),
  },
  {
    code: 'snp.endorsement.untrusted-root',
    evidence: new FakeAmd().evidence(REPORT),
  },
  {
    code: 'snp.endorsement.expired',
    outcome: 'undecided',
    evidence: changed({}),
    options: { now: new Date('2050-01-01') },
  },
  {
    code: 'snp.endorsement.not-yet-valid',
    evidence: changed({}),
    options: { now: new Date('2010-01-01') },
  },
  {
    code: 'snp.endorsement.structure-mismatch',
    evidence: withLeaf(leafWith({ structureVersion: 1 })),
  },
  {
    code: 'snp.endorsement.tcb-mismatch',
    evidence: withLeaf(leafWith({ tcb: { ...TCB, snp: 22 } })),
  },
  {
    code: 'snp.endorsement.chip-id-mismatch',
    evidence: withLeaf(leafWith({ hardwareId: new Uint8Array(64).fill(8) })),
  },
  {
    code: 'snp.endorsement.csp-not-allowed',
    evidence: GENOA.evidence(VLEK_REPORT),
    options: { policy: { allowedCspIds: [] } },
  },
  { code: 'snp.revocation.missing', outcome: 'not-checked', evidence: changed({}) },
  {
    code: 'snp.revocation.missing',
    outcome: 'undecided',
    evidence: changed({}),
    options: { policy: { requireRevocationList: true } },
  },
  {
    code: 'snp.revocation.malformed',
    evidence: changed({}),
    options: lists(Uint8Array.of(0xde, 0xad, 0xbe, 0xef)),
  },
  { code: 'snp.revocation.malformed', evidence: changed({}), options: lists(new Uint8Array()) },
  {
    code: 'snp.revocation.malformed',
    evidence: changed({}),
    options: lists(new TextEncoder().encode('-----BEGIN X509 CRL-----')),
  },
  {
    code: 'snp.revocation.foreign',
    evidence: changed({}),
    options: lists(MILAN.revocationList(from(-1), from(1))),
  },
  {
    code: 'snp.revocation.signature-invalid',
    evidence: changed({}),
    options: lists(new FakeAmd().revocationList(from(-1), from(1))),
  },
  {
    code: 'snp.revocation.expired',
    outcome: 'undecided',
    evidence: changed({}),
    options: lists(GENOA.revocationList(from(-2), from(-1))),
  },
  {
    code: 'snp.revocation.not-yet-valid',
    evidence: changed({}),
    options: lists(GENOA.revocationList(from(1), from(2))),
  },
  {
    code: 'snp.revocation.revoked',
    evidence: changed({}),
    options: lists(GENOA.revocationList(from(-1), from(1), [2])),
  },
  {
    code: 'snp.revocation.revoked',
    evidence: GENOA.evidence(VLEK_REPORT),
    options: lists(GENOA.revocationList(from(-1), from(1), [3])),
  },
  {
    code: 'snp.anchor.simulated',
    outcome: 'warning',
    evidence: SIMULATED.evidence(REPORT),
    options: { simulatedRoots: [SIMULATED.fingerprint] },
  },
  { code: 'snp.policy.debug', evidence: changed({ policy: readGuestPolicy(0xb0000n) }) },
  { code: 'snp.policy.migration-agent', evidence: changed({ policy: readGuestPolicy(0x70000n) }) },
  policyCase('snp.policy.abi', { minimumAbi: { major: 1, minor: 55 } }),
  { code: 'snp.policy.option', evidence: changed({ policy: readGuestPolicy(0x230000n) }) },
  policyCase('snp.policy.option', { requireGuestPolicy: ['ciphertextHiding'] }),
  policyCase('snp.policy.option', { allowSmt: false }),
  policyCase('snp.platform.option', { requirePlatform: ['raplDisabled'] }),
  policyCase(
    'snp.platform.option',
    { requirePlatform: ['aliasCheckComplete'] },
    changed({ platformInfo: readPlatformInfo(5n) }),
  ),
  policyCase(
    'snp.platform.option',
    { requirePlatform: ['iommuWriteSafe'] },
    changed({ platformInfo: readPlatformInfo(0xa5n) }),
  ),
  { code: 'snp.vmpl.mismatch', evidence: changed({ vmpl: 1 }) },
  policyCase('snp.guest-svn.below-minimum', { minimumGuestSvn: 1 }),
  policyCase('snp.firmware.below-minimum', {
    minimumFirmware: { Genoa: { major: 1, minor: 55, build: 41 } },
  }),
  policyCase('snp.firmware.below-minimum', { minimumFirmware: {} }),
  {
    code: 'snp.firmware.provisional',
    outcome: 'warning',
    evidence: changed({ committed: { major: 1, minor: 54, build: 0 } }),
  },
  policyCase(
    'snp.firmware.provisional',
    { refuseProvisionalFirmware: true },
    changed({ committed: { major: 1, minor: 54, build: 0 } }),
  ),
  {
    code: 'snp.tcb.unknown-component',
    evidence: changed({ launchTcb: Uint8Array.of(10, 0, 1, 0, 0, 0, 23, 84) }),
  },
  {
    code: 'snp.tcb.order',
    evidence: changed({ launchTcb: Uint8Array.of(11, 0, 0, 0, 0, 0, 23, 84) }),
  },
  policyCase('snp.tcb.below-minimum', { minimumTcb: { Genoa: { microcode: 85 } } }),
  policyCase('snp.tcb.below-minimum', { minimumTcb: { Milan: { microcode: 1 } } }),
  policyCase('snp.tcb.below-minimum', { minimumLaunchTcb: { Genoa: { snp: 24 } } }),
  policyCase('snp.tcb.below-preset', { minimumTcbPreset: '2026-04' }),
  policyCase('snp.tcb.below-preset', { minimumTcbPreset: '2026-05' }),
  policyCase('snp.mitigation.missing', { requireMitigations: 1n }),
  {
    code: 'snp.chip.masked',
    evidence: withLeaf(leafWith({}), { ...REPORT, chipId: new Uint8Array(64) }),
  },
  policyCase('snp.chip.not-allowed', { allowedChips: [] }),
  policyCase('snp.chip.not-allowed', { allowedChips: ['', '07'] }),
  {
    code: 'snp.chip.not-enrolled',
    outcome: 'warning',
    amd: MILAN,
    evidence: MILAN.evidence({ ...REPORT, processor: { family: 0x19, model: 1, stepping: 1 } }),
  },
  expectCase('snp.report-data.mismatch', 'reportData', 64),
  expectCase('snp.measurement.mismatch', 'measurement', 48),
  expectCase('snp.host-data.mismatch', 'hostData', 32),
  expectCase('snp.family-id.mismatch', 'familyId', 16),
  expectCase('snp.image-id.mismatch', 'imageId', 16),
  expectCase('snp.id-key.mismatch', 'idKeyDigest', 48),
  expectCase('snp.author-key.mismatch', 'authorKeyDigest', 48),
  {
    code: 'snp.author-key.mismatch',
    evidence: changed({}),
    options: { expect: { ...ANY, authorKeyDigest: new Uint8Array(48) } },
  },
  expectCase('snp.report-id.mismatch', 'reportId', 32),
  { code: 'guest.acpi-unmeasured', outcome: 'not-checked', evidence: changed({}) },
]

test('a clean report of each line is affirming under its root', async () => {
  const milan = { ...REPORT, processor: { family: 0x19, model: 1, stepping: 1 } }
  const turin = newSnpReport({
    ...template,
    processor: { family: 0x1a, model: 2, stepping: 1 },
    tcb: { fmc: 1, bootloader: 2, tee: 3, snp: 4, microcode: 75 },
    chipId: new Uint8Array(64).fill(7, 0, 8),
  })
  const chip = Buffer.from(CHIP).toString('hex')
  for (const [amd, report, policy] of [
    [GENOA, REPORT, {}],
    [GENOA, VLEK_REPORT, {}],
    [MILAN, milan, { enrolledChips: [chip] }],
    [TURIN, turin, { allowedChips: ['0707070707070707'] }],
  ] as const) {
    const result = await amd.appraise(amd.evidence(report), { expect: ANY, now: NOW, policy })
    assert.equal(result.status, 'affirming', JSON.stringify(result, null, 1))
    if (amd === TURIN)
      assert.deepEqual(result.status === 'affirming' && result.claims.reportedTcb, {
        fmc: 1,
        bootloader: 2,
        tee: 3,
        snp: 4,
        microcode: 75,
      })
  }
})

test('lists in date do no harm, and TCB minimums that hold say UpToDate', async () => {
  const result = await GENOA.appraise(GENOA.evidence(REPORT), {
    expect: ANY,
    now: NOW,
    endorsements: { revocationLists: [GENOA.revocationList(from(-1), from(1), [77])] },
    policy: { requireRevocationList: true, minimumTcb: { Genoa: TCB } },
  })
  assert.equal(result.status, 'affirming')
  assert.equal(result.status === 'affirming' && result.tcbStatus, 'UpToDate')
})

test('a cache forgets neither dates nor revocation, and keeps no bad signature', async () => {
  const cache = new EndorsementCache()
  const evidence = GENOA.evidence(REPORT)
  const statusWith = async (list: Uint8Array, now = NOW) => {
    const result = await GENOA.appraise(evidence, { expect: ANY, now, cache, ...lists(list) })
    return result.status
  }
  const good = GENOA.revocationList(from(-1), from(1))
  const foreign = new FakeAmd().revocationList(from(-1), from(1))
  for (let round = 0; round < 2; round++) {
    assert.equal(await statusWith(good), 'affirming')
    assert.equal(await statusWith(good, from(2)), 'none')
    assert.equal(await statusWith(foreign), 'contraindicated')
    assert.equal(await statusWith(GENOA.revocationList(from(-1), from(1), [2])), 'contraindicated')
  }
})

for (const [index, example] of CASES.entries())
  test(`case ${index}: ${example.code} ${example.outcome ?? 'fail'}`, async () => {
    const { code, outcome = 'fail', also = [] } = example
    const result = await appraise(example)
    const bad = result.checks
      .filter((check) => check.outcome === outcome)
      .map((check) => check.code)
    assert.ok(bad.includes(code), `${code} not in ${bad.join(', ')}`)
    if (outcome !== 'not-checked')
      assert.deepEqual(
        bad.filter((other) => other !== code && !also.includes(other)),
        [],
      )
    const status = {
      fail: 'contraindicated',
      undecided: 'none',
      warning: 'warning',
      'not-checked': 'affirming',
    }
    assert.equal(result.status, status[outcome], JSON.stringify(result, null, 1))
    seen.add(code)
  })

test('every code of the union has a case', () => {
  const without = Object.keys(SNP_CHECKS).filter((code) => !seen.has(code))

  assert.deepEqual(without, [])
})
