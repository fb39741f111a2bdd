/** Attacks on TDX Evidence, at the protocol: each must be refused for its own reason, and tell the attacker nothing of it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  FAKE_REGISTERS,
  FAKE_RTMR0,
  giveCollateral,
  tdxPolicy,
  type FakeTdOptions,
  type TdxWorld,
} from '@cloister/broker/testing/fake-td'
import { fakeInitdata } from '@cloister/broker/testing/fake-guest'
import { refusal } from '@cloister/broker/testing/rcar-client'
import { SECRET_PATH } from '@cloister/broker/testing/test-broker'
import { refusalOf } from '@cloister/broker/testing/world'
import type { BrokerStatus, ReleasePolicyInput } from '@cloister/protocol/broker-admin-api'
import { primaryReportData } from '@cloister/protocol/report-data'
import { FakeIntel, fakeTcbInfo } from '@cloister/verifier/testing/fake-intel'
import {
  silentHardwareWorld as hardwareWorld,
  silentTdxWorld as tdxWorld,
} from './support/silent-world.ts'

const HOUR_MS = 3_600_000
const at = (hours: number) => new Date(Date.now() + hours * HOUR_MS)
const other = new Uint8Array(48).fill(0xee)

type TdPolicy = NonNullable<ReleasePolicyInput['tdx']>

async function applyPolicy({ t }: TdxWorld, policy: Partial<ReleasePolicyInput>): Promise<void> {
  await t.owner('PUT', `/release-policies/${SECRET_PATH}`, tdxPolicy(policy))
}

test('a TD of the registered image gets its secret, and its token says what it is', async () => {
  await using world = await tdxWorld()
  const guest = world.guest()
  assert.deepEqual(await world.t.client.resource(guest, SECRET_PATH), world.secret)
  const { text } = await world.t.client.attest(guest)
  const { token } = JSON.parse(text) as { token: string }
  const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as {
    submods: { cpu0: Record<string, Record<string, unknown>> }
  }
  const { cpu0 } = claims.submods
  assert.equal(cpu0['ear.status'], 'affirming')
  const evidence = cpu0['ear.veraison.annotated-evidence'] ?? {}
  const { quote, tcb_status } = evidence['tdx'] as {
    quote: { body: Record<string, string> }
    tcb_status: string
  }
  assert.equal(quote.body['rtmr_1'], FAKE_REGISTERS.rtmr1)
  assert.equal(tcb_status, 'UpToDate')
  assert.equal(evidence['init_data'], quote.body['mr_config_id'])
  assert.equal(evidence['snp'] ?? evidence['sample'], undefined)
})

test('what is measured at launch, field by field', async () => {
  await using world = await tdxWorld()
  const debug = Uint8Array.of(1, 0, 0, 0x10, 0, 0, 0, 0)
  const migratable = Uint8Array.of(0, 0, 0, 0x30, 0, 0, 0, 0)
  const zeros = new Uint8Array(48)
  const cases: readonly (readonly [string, string, NonNullable<FakeTdOptions['report']>])[] = [
    ['attestation', 'tdx.policy.debug', { tdAttributes: debug }],
    ['attestation', 'tdx.policy.migratable', { tdAttributes: migratable }],
    ['attestation', 'tdx.policy.sept-ve', { tdAttributes: new Uint8Array(8) }],
    ['attestation', 'tdx.mr-config-id.mismatch', { mrConfigId: other }],
    ['attestation', 'tdx.mr-config-id.mismatch', { mrConfigId: zeros }],
    ['attestation', 'tdx.report-data.mismatch', { reportData: new Uint8Array(64).fill(1) }],
    ['release', 'release.measurement-unknown', { mrTd: other }],
    ['release', 'release.measurement-unknown', { rtmr1: other }],
    ['release', 'release.measurement-unknown', { rtmr2: other }],
    ['release', 'release.tdx.rtmr0', { rtmr0: other }],
  ]
  for (const [step, code, report] of cases)
    assert.deepEqual(await refusalOf(world, world.guest({ report })), { step, code }, code)
})

test('a measurement of the firmware alone opens nothing, under any policy', async () => {
  const path = 'vm-demo/disk-key/current'
  await using world = await tdxWorld({ path })
  // A disk boot: the same firmware, with shim and GRUB in RTMR1 and their measurements in RTMR2.
  const guest = world.guest({ report: { rtmr1: other, rtmr2: other } })
  const policies: readonly Partial<ReleasePolicyInput>[] = [
    {},
    { allowDegraded: true },
    { allowDegraded: true, tdx: {} },
  ]
  for (const policy of policies) {
    await world.t.owner('PUT', `/release-policies/${path}`, tdxPolicy(policy))
    const answer = await world.t.client.resource(guest, path)
    assert.ok(!Buffer.isBuffer(answer))
    assert.equal((await world.t.audit(answer.requestId)).code, 'release.measurement-unknown')
  }
})

test('a policy without RTMR0 makes a warning of any, and says which it was', async () => {
  await using world = await tdxWorld({ policy: { tdx: {} } })
  const answer = await world.t.client.resource(world.guest(), SECRET_PATH)
  assert.ok(!Buffer.isBuffer(answer))
  const { code, checks } = await world.t.audit(answer.requestId)
  assert.equal(code, 'release.attestation-degraded')
  assert.ok(checks.find((check) => check.code === code)?.received?.includes(FAKE_RTMR0))
  await applyPolicy(world, { tdx: {}, allowDegraded: true })
  assert.deepEqual(await world.t.client.resource(world.guest(), SECRET_PATH), world.secret)
})

test('an old quote, and a quote for another key, are refused', async () => {
  await using world = await tdxWorld()
  const { client } = world.t
  const guest = world.guest()
  const recorded = client.attestation(await client.auth('tdx'), guest)
  for (const tamper of [
    (nonce: string) => ({ nonce, 'tee-pubkey': guest.publicKey }),
    (nonce: string) => ({ nonce, 'tee-pubkey': world.guest().publicKey }),
  ]) {
    const challenge = await client.auth('tdx')
    const attestation = { ...recorded, 'runtime-data': tamper(challenge.nonce) }
    const { code, requestId } = refusal(await client.send(challenge, attestation))
    assert.equal(code, 'attestation.refused')
    assert.equal((await world.t.audit(requestId)).code, 'tdx.report-data.mismatch')
  }
})

test('a quote under another root, and one whose signature does not hold, are refused', async () => {
  await using world = await tdxWorld()
  const strange = world.guest({ intel: new FakeIntel() })
  const refused = await refusalOf(world, strange)
  assert.deepEqual(refused, { step: 'attestation', code: 'dcap.endorsement.untrusted-root' })
  const forged = world.guest({ quote: { after: { signature: new Uint8Array(64).fill(7) } } })
  assert.deepEqual(await refusalOf(world, forged), {
    step: 'attestation',
    code: 'dcap.quote.signature-invalid',
  })
})

test('no collateral, stale collateral and collateral of another signer prove nothing', async () => {
  const stale = { from: at(-3), until: at(-1) }
  const strange = new FakeIntel().endorsements('tdx', at(-1), at(1))
  const cases = [
    ['dcap.tcb-info.missing', null],
    [
      'dcap.tcb-info.expired',
      (intel: FakeIntel) => ({
        tcbInfos: [intel.statement('tcbInfo', fakeTcbInfo('tdx', stale.from, stale.until))],
      }),
    ],
    [
      'dcap.revocation.expired',
      (intel: FakeIntel) => ({
        revocationLists: [
          intel.list('root', stale.from, stale.until),
          intel.list('ca', at(-1), at(1)),
        ],
      }),
    ],
    [
      'dcap.revocation.revoked',
      (intel: FakeIntel) => ({
        revocationLists: [intel.list('root', at(-1), at(1)), intel.list('ca', at(-1), at(1), [4])],
      }),
    ],
    ['dcap.tcb-info.signature-invalid', () => ({ tcbInfos: strange.tcbInfos })],
  ] as const
  for (const [code, collateral] of cases) {
    await using world = await tdxWorld({ collateral })
    const refused = await refusalOf(world, world.guest())
    assert.deepEqual(refused, { step: 'attestation', code }, code)
  }
})

test('the status of the TCB is judged by the policy of this moment', async () => {
  await using world = await tdxWorld()
  const components = Array.from({ length: 16 }, () => 4)
  const outdated = () => world.guest({ quote: { pck: { components } } })
  const open = async (tdx: TdPolicy) => {
    await applyPolicy(world, { tdx: { rtmr0: [FAKE_RTMR0], ...tdx } })
    return world.t.client.resource(outdated(), SECRET_PATH)
  }
  const codeOf = async (tdx: TdPolicy) => {
    const answer = await open(tdx)
    assert.ok(!Buffer.isBuffer(answer))
    return (await world.t.audit(answer.requestId)).code
  }
  const tcbStatuses = ['UpToDate', 'SWHardeningNeeded'] as const
  assert.equal(await codeOf({}), 'release.tdx.tcb-status')
  assert.deepEqual(await open({ tcbStatuses: [...tcbStatuses] }), world.secret)
  const acceptAdvisories = ['FAKE-SA-9']
  assert.equal(
    await codeOf({ tcbStatuses: [...tcbStatuses], acceptAdvisories }),
    'release.tdx.tcb-status',
  )
  const minimum = { tcbStatuses: [...tcbStatuses], minimumEvaluationDataNumber: 18 }
  assert.equal(await codeOf(minimum), 'release.tdx.evaluation-number')
})

test('XFAM and platform are held to the policy', async () => {
  await using world = await tdxWorld({
    policy: { tdx: { rtmr0: [FAKE_RTMR0], xfam: ['e702060000000000'] } },
  })
  assert.equal((await refusalOf(world, world.guest())).code, 'release.tdx.xfam')
  await applyPolicy(world, { platforms: 'enrolled' })
  assert.equal((await refusalOf(world, world.guest())).code, 'release.platform')
  await world.t.owner('PUT', `/platforms/${'01'.repeat(16)}`)
  assert.deepEqual(await world.t.client.resource(world.guest(), SECRET_PATH), world.secret)
})

test("a policy for AMD releases nothing to a TD, nor Intel's to SNP; digests do not cross over", async () => {
  await using world = await tdxWorld({ policy: { anchors: ['amd'] } })
  assert.equal((await refusalOf(world, world.guest())).code, 'release.anchors')
  await using amd = await hardwareWorld({ policy: tdxPolicy() })
  assert.equal((await refusalOf(amd, amd.guest())).code, 'release.anchors')
})

test('initdata that nobody registered, or none that is ours, gets nothing', async () => {
  await using world = await tdxWorld()
  const unknown = world.guest({ initdata: fakeInitdata({ name: 'unknown' }) })
  assert.equal((await refusalOf(world, unknown)).code, 'release.workload-unregistered')
  const { client } = world.t
  // Without initdata along: a digest that is longer than ours is not cut to one that is registered.
  const guest = world.guest({ report: { mrConfigId: other } })
  const challenge = await client.auth('tdx')
  const reportData = primaryReportData(
    { nonce: challenge.nonce, teePublicKey: guest.publicKey },
    '',
  )
  const answer = await client.send(challenge, {
    'init-data': null,
    'runtime-data': { nonce: challenge.nonce, 'tee-pubkey': guest.publicKey },
    'tee-evidence': { primary_evidence: guest.evidence(reportData), additional_evidence: '' },
  })
  assert.equal(
    (await world.t.audit(refusal(answer).requestId)).code,
    'attestation.initdata-mismatch',
  )
})

test('evidence that is no evidence is refused without an exception', async () => {
  await using world = await tdxWorld()
  const { client } = world.t
  for (const primary_evidence of [
    null,
    5,
    'x',
    [],
    {},
    { quote: 5 },
    { quote: '????' },
    { quote: '' },
  ]) {
    const challenge = await client.auth('tdx')
    const attestation = {
      ...client.attestation(challenge, world.guest()),
      'tee-evidence': { primary_evidence, additional_evidence: '' },
    }
    const { code, requestId } = refusal(await client.send(challenge, attestation))
    assert.equal(code, 'attestation.refused')
    const audited = (await world.t.audit(requestId)).code ?? ''
    assert.match(audited, /^(?:attestation\.evidence-malformed|dcap\.quote\.)/)
  }
})

test("the owner's collateral: what cannot be read is refused, and removing it ends attestation", async () => {
  await using world = await tdxWorld()
  const { t, intel } = world
  const wrong = [{ bundle: 'AAAA' }, { bundle: Buffer.from('{}').toString('base64') }, {}]
  for (const body of wrong)
    assert.equal((await t.admin('PUT', '/intel-collateral', body)).status, 400)
  const { intelCollateral } = (await t.owner('GET', '/status')) as BrokerStatus
  assert.deepEqual(
    intelCollateral.map(({ fmspc, ca }) => [fmspc, ca]),
    [['fa4e00000000', 'platform']],
  )
  await t.owner('DELETE', '/intel-collateral/fa4e00000000')
  assert.equal((await t.admin('DELETE', '/intel-collateral/fa4e00000000')).status, 404)
  assert.equal((await refusalOf(world, world.guest())).code, 'dcap.tcb-info.missing')
  await giveCollateral(t, intel)
  assert.deepEqual(await t.client.resource(world.guest(), SECRET_PATH), world.secret)
})
