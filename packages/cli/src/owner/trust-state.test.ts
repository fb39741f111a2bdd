import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GuestImageManifest } from '@cloister/protocol/guest-image-manifest'
import type { EvidenceAnswer } from '@cloister/protocol/hostd-api'
import { encodeInitdata, initdataDigest, initdataOf } from '@cloister/protocol/initdata'
import { verifyReportData } from '@cloister/protocol/report-data'
import type { VmWorkloadInput } from '@cloister/protocol/vm-workload'
import { appraiseSnp } from '@cloister/verifier/snp/appraise'
import { encodeSnpEvidenceJson } from '@cloister/verifier/snp/evidence-json'
import { newSnpReport, type ReportTemplate } from '@cloister/verifier/snp/report-template'
import { FakeAmd } from '@cloister/verifier/testing/fake-amd'
import { inForce } from './appraise-workload.ts'
import type { RegisteredImage } from './registered-image.ts'
import { computeTrust, type AppraiseReport, type OwnerReferences } from './trust-state.ts'

const NOW = new Date('2026-06-01')
const NONCE = new Uint8Array(32).fill(7)
const KEY = new Uint8Array(91).fill(1)
const INITDATA = encodeInitdata({ algorithm: 'sha256', data: {} })
const DIGESTS = { hardware: 'aa'.repeat(48), simulated: 'bb'.repeat(48), debug: 'cc'.repeat(48) }
const GOOD_TCB = { fmc: null, bootloader: 10, tee: 1, snp: 27, microcode: 0x60 } as const
const OLD_TCB = { ...GOOD_TCB, snp: 3 }

const MANIFEST = {
  name: 'base',
  imageVersion: 3,
  expected: {
    snp: {
      hardware: { 'EPYC-v4': { 1: DIGESTS.hardware } },
      simulated: { 'EPYC-v4': { 1: DIGESTS.simulated } },
      debug: { 'EPYC-v4': { 1: DIGESTS.debug } },
    },
  },
} as unknown as GuestImageManifest

const CURRENT = {
  name: 'demo',
  revision: 1,
  initdataDigest: Buffer.from(initdataDigest(INITDATA)).toString('hex'),
  state: 'current',
  registeredAt: 0,
} as const

interface Case {
  readonly amd: FakeAmd
  readonly report?: Partial<ReportTemplate>
  readonly revocationList?: boolean
  readonly answer?: Partial<EvidenceAnswer>
  readonly references?: Partial<OwnerReferences>
  /** Absent: AMD is the fake one. */
  readonly appraise?: AppraiseReport
}

/** The verdict on a guest for which everything is right but what the case changes. */
async function verdictOn({ amd, report = {}, revocationList = true, ...change }: Case) {
  const finished = newSnpReport({
    processor: { family: 0x19, model: 0x11, stepping: 1 },
    tcb: GOOD_TCB,
    firmware: { major: 1, minor: 55, build: 39 },
    chipId: new Uint8Array(64).fill(0xc1),
    measurement: Buffer.from(DIGESTS.hardware, 'hex'),
    reportData: verifyReportData(NONCE, KEY, KEY),
    hostData: initdataDigest(INITDATA),
    ...report,
  })
  const lists = [amd.revocationList(new Date('2026-05-31'), new Date('2026-06-02'))]
  const evidence = { ...amd.evidence(finished), revocationLists: revocationList ? lists : [] }
  const key = Buffer.from(KEY).toString('base64')
  const answer = {
    tee: 'snp',
    evidenceJson: JSON.stringify(encodeSnpEvidenceJson(evidence)),
    agentKey: key,
    channelKey: key,
    initdata: Buffer.from(INITDATA).toString('base64'),
    ...change.answer,
  }
  const references = {
    manifests: [MANIFEST],
    revisions: [CURRENT],
    simulatedRoots: [],
    ...change.references,
  }
  return computeTrust(answer, NONCE, references, NOW, change.appraise ?? amd.appraise.bind(amd))
}

const hardware = new FakeAmd()
const simulated = new FakeAmd({ names: 'simulated' })
const trustOf = async (given: Case) => (await verdictOn(given)).trust
const measured = (digest: string) => ({ measurement: Buffer.from(digest, 'hex') })

test('a guest for which everything is right is verified', async () => {
  assert.equal(await trustOf({ amd: hardware }), 'verified')
})

test('without a revocation list, or with a TCB of known holes, it is degraded, and the check says so', async () => {
  const unchecked = await verdictOn({ amd: hardware, revocationList: false })
  const old = await verdictOn({ amd: hardware, report: { tcb: OLD_TCB } })
  const warnings = ({ checks }: typeof old) =>
    checks.filter(({ outcome }) => outcome === 'warning').map(({ code }) => code)
  assert.deepEqual([unchecked.trust, old.trust], ['degraded', 'degraded'])
  assert.ok(warnings(unchecked).includes('snp.revocation.missing'))
  assert.ok(warnings(old).includes('snp.tcb.below-preset'))
})

test("AMD's lists, asked for by the line of the root, make it verified, or refused where they revoke", async () => {
  const asked: string[] = []
  const listing = (revoked: readonly number[]) => ({
    revocationLists: async (line: string, kind: string) => {
      asked.push(`${kind} ${line}`)
      return [hardware.revocationList(new Date('2026-05-31'), new Date('2026-06-02'), revoked)]
    },
  })
  const given = { amd: hardware, revocationList: false }
  assert.equal(await trustOf({ ...given, references: listing([]) }), 'verified')
  const revoked = await verdictOn({ ...given, references: listing([2]) })
  assert.equal(revoked.trust, 'failed')
  const failed = revoked.checks.filter(({ outcome }) => outcome === 'fail')
  assert.deepEqual(
    failed.map(({ code }) => code),
    ['snp.revocation.revoked'],
  )
  const none = await verdictOn({
    amd: simulated,
    report: measured(DIGESTS.simulated),
    references: { ...listing([]), simulatedRoots: [simulated.fingerprint] },
    appraise: appraiseSnp,
  })
  assert.equal(none.trust, 'simulated')
  assert.deepEqual(asked, ['vcek Genoa', 'vcek Genoa'])
})

const REFUSED: Readonly<Record<string, Omit<Case, 'amd'>>> = {
  'initdata that is not in the report': { answer: { initdata: 'AAAA' } },
  'initdata that no owner registered': { references: { revisions: [] } },
  'a superseded revision': { references: { revisions: [{ ...CURRENT, state: 'superseded' }] } },
  'another channel key': { answer: { channelKey: 'AAAA' } },
  'no guest image of ours': { references: { manifests: [] } },
  'a simulated command line under a hardware root': { report: measured(DIGESTS.simulated) },
  'a debug command line under a hardware root': { report: measured(DIGESTS.debug) },
  'what is no evidence': { answer: { evidenceJson: '{' } },
}

for (const [name, change] of Object.entries(REFUSED))
  test(`${name} is refused`, async () => {
    assert.equal(await trustOf({ amd: hardware, ...change }), 'failed')
  })

test('a simulated root gives simulated at most, and only when it is pinned', async () => {
  const report = measured(DIGESTS.simulated)
  const pinned = { simulatedRoots: [simulated.fingerprint] }
  // Under the real AMD's roots.
  const trust = (given: Omit<Case, 'amd'>) =>
    trustOf({ amd: simulated, appraise: appraiseSnp, ...given })
  assert.equal(await trust({ report, references: pinned }), 'simulated')
  assert.equal(await trust({ report: measured(DIGESTS.debug), references: pinned }), 'debug')
  assert.equal(await trust({ references: pinned }), 'failed')
  assert.equal(await trust({ report }), 'failed')
})

test('a guest whose image was built anew or removed since keeps its trust while that is registered', async () => {
  const registered = (digest: string, anchors: RegisteredImage['anchors']) => ({
    manifests: [],
    registeredImages: [{ name: 'base', anchors, measurements: [digest] }],
  })
  const onHardware = async (digest: string, anchors: RegisteredImage['anchors']) =>
    await trustOf({ amd: hardware, references: registered(digest, anchors) })
  assert.equal(await onHardware(DIGESTS.hardware, 'amd'), 'verified')
  assert.equal(await onHardware(DIGESTS.simulated, 'amd'), 'failed')
  assert.equal(await onHardware(DIGESTS.hardware, 'simulated'), 'failed')
  const inSimulation = async (anchors: RegisteredImage['anchors']) =>
    await trustOf({
      amd: simulated,
      report: measured(DIGESTS.simulated),
      references: {
        simulatedRoots: [simulated.fingerprint],
        ...registered(DIGESTS.simulated, anchors),
      },
      appraise: appraiseSnp,
    })
  assert.equal(await inSimulation('simulated'), 'simulated')
  assert.equal(await inSimulation('amd'), 'failed')
})

test('a guest image that the owner withdrew counts no more, in any mode', () => {
  const image = { name: 'base', anchors: 'amd', mode: 'hardware', digests: 1 } as const
  const registered = { ...image, measurements: [DIGESTS.hardware], registeredAt: 0 }
  const state = (imageVersion: number, withdrawn: boolean) =>
    ({ ...registered, imageVersion, state: withdrawn ? 'withdrawn' : 'current' }) as const
  assert.deepEqual(inForce([MANIFEST], [state(2, true), state(3, false)]), [MANIFEST])
  assert.deepEqual(inForce([MANIFEST], [state(3, true)]), [])
})

/** A case whose initdata, measured and registered, brings a policy in Rego. */
function withPolicy(policy: string): Omit<Case, 'amd'> {
  const initdata = encodeInitdata({ algorithm: 'sha256', data: { 'policy.rego': policy } })
  const digest = initdataDigest(initdata)
  return {
    answer: { initdata: Buffer.from(initdata).toString('base64') },
    report: { hostData: digest },
    references: {
      revisions: [{ ...CURRENT, initdataDigest: Buffer.from(digest).toString('hex') }],
    },
  }
}

test('a policy with an opening makes its workload debug, and the check names it', async () => {
  const openings = {
    'allow-on-failure': 'default AllowRequestsFailingPolicy := true',
    'policy-replaceable': 'SetPolicyRequest { input.x }',
    'allow-by-default': 'default ExecProcessRequest := true',
  }
  for (const [code, rule] of Object.entries(openings)) {
    const change = withPolicy(`package agent_policy\n${rule}`)
    const { trust, checks } = await verdictOn({ amd: hardware, ...change })
    assert.equal(trust, 'debug')
    assert.match(checks.at(-1)?.received ?? '', new RegExp(code))
    const references = { ...change.references, simulatedRoots: [simulated.fingerprint] }
    const report = { ...change.report, ...measured(DIGESTS.simulated) }
    const inSimulation = { ...change, references, report, appraise: appraiseSnp }
    assert.equal(await trustOf({ amd: simulated, ...inSimulation }), 'debug')
  }
})

test('a policy without an opening leaves trust as it is; one that nobody can read fails', async () => {
  const good = withPolicy('package agent_policy\nExecProcessRequest { input.x }')
  assert.equal(await trustOf({ amd: hardware, ...good }), 'verified')
  for (const policy of ['', 'package other', 'package agent_policy\nx := {'])
    assert.equal(await trustOf({ amd: hardware, ...withPolicy(policy) }), 'failed')
})

const vmInitdata = (
  disk: VmWorkloadInput['vm']['disk'],
  more: Partial<VmWorkloadInput['vm']> = {},
) =>
  encodeInitdata(
    initdataOf({
      version: 1,
      name: 'db',
      revision: 1,
      broker: { url: 'https://broker.invalid', spki: ['cd'.repeat(32)] },
      vm: { disk, root: { fileSystem: 'ext4' }, ...more },
    }),
  )
const SEALED_DISK = {
  kind: 'sealed',
  id: 'ab'.repeat(16),
  dataBytes: 1 << 30,
  source: 'cd'.repeat(32),
  key: 'vm-db/disk-key/current',
  nextKey: 'vm-db/disk-key/next',
  recoveryKey: 'vm-db/disk-key/recovery',
} as const

const onVm = (
  disk: VmWorkloadInput['vm']['disk'],
  bundle: string,
  more: Partial<VmWorkloadInput['vm']> = {},
): Case => {
  const initdata = vmInitdata(disk, more)
  const digest = initdataDigest(initdata)
  return {
    amd: hardware,
    report: { hostData: digest },
    answer: { initdata: Buffer.from(initdata).toString('base64') },
    references: {
      manifests: [{ ...MANIFEST, name: bundle }],
      revisions: [{ ...CURRENT, name: 'db', initdataDigest: Buffer.from(digest).toString('hex') }],
    },
  }
}

test('a VM is verified with its own boot bundle and an encrypted disk, degraded with a disk in clear', async () => {
  assert.equal(await trustOf(onVm(SEALED_DISK, 'vm-db')), 'verified')
  const plain = await verdictOn(onVm({ kind: 'plain', partition: 2 }, 'vm-db'))
  assert.equal(plain.trust, 'degraded')
  assert.equal(plain.checks.find(({ code }) => code === 'vm.disk-encrypted')?.outcome, 'warning')
})

test('a VM that boots by the kernel of another VM, or by the guest image of containers, is refused', async () => {
  for (const bundle of ['vm-other', 'base'])
    assert.equal(await trustOf(onVm(SEALED_DISK, bundle)), 'failed')
})

test('the boot bundle that a VM had before counts no more, though it is registered', async () => {
  const given = onVm(SEALED_DISK, 'vm-other')
  const registered = { name: 'vm-db', anchors: 'amd', measurements: [DIGESTS.hardware] } as const
  const registeredImages = [{ ...registered, measurements: [...registered.measurements] }]
  assert.equal(
    await trustOf({ ...given, references: { ...given.references, registeredImages } }),
    'failed',
  )
})

test('a VM whose owner left something open is degraded, and the check names it', async () => {
  const { trust, checks } = await verdictOn(
    onVm(SEALED_DISK, 'vm-db', { allowed: ['console-login'] }),
  )
  assert.equal(trust, 'degraded')
  const found = checks.find(({ code }) => code === 'vm.left-open')
  assert.deepEqual([found?.outcome, found?.received], ['warning', 'console-login'])
})

test('a VM whose firmware alone was measured is degraded, and only where the owner has that firmware', async () => {
  const firmware = 'dd'.repeat(48)
  const firmwareDigests = async () => [firmware]
  const given = (report: Partial<ReportTemplate> = {}): Case => ({
    amd: hardware,
    report: { ...measured(firmware), hostData: new Uint8Array(32), ...report },
    answer: { initdata: '' },
    references: { firmwareDigests, revisions: [] },
  })
  const { trust, checks } = await verdictOn(given())
  assert.equal(trust, 'degraded')
  assert.equal(checks.find(({ code }) => code === 'vm.boot-measured')?.outcome, 'warning')
  const refused: readonly Case[] = [
    { ...given(), references: { revisions: [] } },
    given(measured('ee'.repeat(48))),
    given({ hostData: new Uint8Array(32).fill(1) }),
    given({ reportData: new Uint8Array(64) }),
    { ...given(), answer: { initdata: Buffer.from(INITDATA).toString('base64') } },
  ]
  for (const [index, change] of refused.entries())
    assert.equal(await trustOf(change), 'failed', `${index}`)
  // Nobody's simulator may say so.
  const references = { firmwareDigests, simulatedRoots: [simulated.fingerprint] }
  assert.equal(
    await trustOf({ ...given(), amd: simulated, references, appraise: appraiseSnp }),
    'failed',
  )
})
