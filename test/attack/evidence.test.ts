/** Attacks on Evidence, at the protocol: each must be refused for its own reason, and tell the attacker nothing of it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeGuest, fakeInitdata } from '@cloister/broker/testing/fake-guest'
import { refusal, type Challenge } from '@cloister/broker/testing/rcar-client'
import {
  fakeManifest,
  registerDemo,
  SECRET_PATH,
  startTestBroker,
} from '@cloister/broker/testing/test-broker'
import { refusalOf, type World } from '@cloister/broker/testing/world'
import { readAuditLeaf } from '@cloister/protocol/audit-entry'
import { AuditListSchema } from '@cloister/protocol/broker-admin-api'
import { primaryReportData, verifyReportData } from '@cloister/protocol/report-data'
import { readGuestPolicy, readKeyInfo } from '@cloister/verifier/snp/report-flags'
import { FakeAmd } from '@cloister/verifier/testing/fake-amd'
import {
  silentHardwareWorld as hardwareWorld,
  silentSimulatedWorld as simulatedWorld,
} from './support/silent-world.ts'

const HOUR_MS = 3_600_000

/** Sends an Attestation in a session and expects its refusal. @returns the code in the audit */
async function sendRefused({ t }: World, challenge: Challenge, attestation: unknown) {
  const answer = await t.client.send(challenge, attestation)
  const { status, variant, code, requestId } = refusal(answer)
  assert.deepEqual([status, variant, code], [401, 'AttestationError', 'attestation.refused'])
  return (await t.audit(requestId)).code
}

test('evidence of an earlier session is refused', async () => {
  await using world = await hardwareWorld()
  const { client } = world.t
  const guest = world.guest()
  const recorded = client.attestation(await client.auth(), guest)
  const challenge = await client.auth()
  assert.equal(await sendRefused(world, challenge, recorded), 'attestation.nonce')
})

test('evidence of an earlier session under the new nonce is refused', async () => {
  await using world = await hardwareWorld()
  const { client } = world.t
  const guest = world.guest()
  const recorded = client.attestation(await client.auth(), guest)
  const challenge = await client.auth()
  const runtimeData = { nonce: challenge.nonce, 'tee-pubkey': guest.publicKey }
  const relabelled = { ...recorded, 'runtime-data': runtimeData }
  assert.equal(await sendRefused(world, challenge, relabelled), 'snp.report-data.mismatch')
})

test('a nonce is spent by its first attestation, refused or not', async () => {
  await using world = await hardwareWorld()
  const { client } = world.t
  const guest = world.guest()
  const challenge = await client.auth()
  const good = client.attestation(challenge, guest)
  await sendRefused(world, challenge, client.attestation({ ...challenge, nonce: 'other' }, guest))
  assert.equal(refusal(await client.send(challenge, good)).code, 'kbs.session')
})

test('two attestations of one session at once: one counts', async () => {
  const arrived = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const
  const opened = Promise.withResolvers<void>()
  let appraisals = 0
  await using world = await hardwareWorld({
    gate: async () => {
      arrived[appraisals++]?.resolve()
      await opened.promise
    },
  })
  const { client } = world.t
  const challenge = await client.auth()
  const good = client.attestation(challenge, world.guest())
  const first = client.send(challenge, good)
  await arrived[0].promise
  const second = client.send(challenge, good)
  await Promise.race([second, arrived[1].promise])
  opened.resolve()
  assert.equal((await first).status, 200)
  assert.equal(refusal(await second).code, 'kbs.session')
})

test('a report over bytes that a container or the host chose is refused', async () => {
  await using world = await hardwareWorld()
  const { client } = world.t
  const guest = world.guest()
  const challenge = await client.auth()
  const nonce = Buffer.from(challenge.nonce, 'base64')
  // What `verify` makes the agent report over, with the broker's nonce as the asker's.
  const chosen = verifyReportData(nonce, Buffer.alloc(91), Buffer.alloc(91))
  const evidence = { primary_evidence: guest.evidence(chosen), additional_evidence: '' }
  const attestation = { ...client.attestation(challenge, guest), 'tee-evidence': evidence }
  assert.equal(await sendRefused(world, challenge, attestation), 'snp.report-data.mismatch')
})

test("another guest's report, relayed with the attacker's key, is refused", async () => {
  await using world = await hardwareWorld()
  const { client } = world.t
  const [victim, attacker] = [world.guest(), world.guest()]
  const challenge = await client.auth()
  const { nonce } = challenge
  const report = victim.evidence(primaryReportData({ nonce, teePublicKey: victim.publicKey }, ''))
  const attestation = {
    ...client.attestation(challenge, attacker),
    'tee-evidence': { primary_evidence: report, additional_evidence: '' },
  }
  assert.equal(await sendRefused(world, challenge, attestation), 'snp.report-data.mismatch')
})

test('evidence of further devices that nobody verifies is refused', async () => {
  await using world = await hardwareWorld()
  const { client } = world.t
  const guest = world.guest()
  const challenge = await client.auth()
  const additional = '{"sampledevice":{"svn":"1"}}'
  const { nonce } = challenge
  const reportData = primaryReportData({ nonce, teePublicKey: guest.publicKey }, additional)
  const evidence = { primary_evidence: guest.evidence(reportData), additional_evidence: additional }
  const attestation = { ...client.attestation(challenge, guest), 'tee-evidence': evidence }
  assert.equal(await sendRefused(world, challenge, attestation), 'attestation.tee-unsupported')
})

test("a foreign chain, AMD's names under a foreign root, and an unpinned simulated chain are refused", async () => {
  await using world = await hardwareWorld()
  for (const names of ['fake', 'amd', 'simulated'] as const) {
    const amd = new FakeAmd({ names })
    assert.deepEqual(await refusalOf(world, world.guest({ amd })), {
      step: 'attestation',
      code: 'snp.endorsement.untrusted-root',
    })
  }
})

test('a chain of AMD names under a foreign root is refused beside a pinned simulated root', async () => {
  await using world = await simulatedWorld()
  const amd = new FakeAmd({ names: 'amd' })
  const { code } = await refusalOf(world, world.guest({ amd }))
  assert.equal(code, 'snp.endorsement.untrusted-root')
})

test('another simulated processor than the pinned one is refused', async () => {
  await using world = await simulatedWorld()
  const amd = new FakeAmd({ names: 'simulated' })
  const { code } = await refusalOf(world, world.guest({ amd }))
  assert.equal(code, 'snp.endorsement.untrusted-root')
})

test('the digest of a simulated-mode guest image counts for nothing under hardware anchors', async () => {
  await using world = await hardwareWorld()
  const digest = 'cd'.repeat(48)
  const manifest = fakeManifest({ digest, name: 'simulated-only' })
  await world.t.owner('PUT', '/guest-images/simulated-only', {
    manifest,
    mode: 'simulated',
    anchors: 'simulated',
  })
  const guest = world.guest({ template: { measurement: Buffer.from(digest, 'hex') } })
  assert.deepEqual(await refusalOf(world, guest), {
    step: 'release',
    code: 'release.measurement-unknown',
  })
})

test('the digest of a hardware-mode guest image counts for nothing under a simulated root', async () => {
  await using world = await simulatedWorld()
  const digest = 'cd'.repeat(48)
  const manifest = fakeManifest({ digest, name: 'hardware-only' })
  await world.t.owner('PUT', '/guest-images/hardware-only', {
    manifest,
    mode: 'hardware',
    anchors: 'amd',
  })
  const guest = world.guest({ template: { measurement: Buffer.from(digest, 'hex') } })
  const { code } = await refusalOf(world, guest)
  assert.equal(code, 'release.measurement-unknown')
})

test('debug and probe digests are registered under no anchors', async () => {
  await using world = await hardwareWorld()
  for (const anchors of ['amd', 'simulated'])
    for (const mode of ['debug', 'probe']) {
      const manifest = fakeManifest({ imageVersion: 2 })
      const answer = await world.t.admin('PUT', '/guest-images/base', { manifest, mode, anchors })
      assert.equal(JSON.parse(answer.text).code, 'broker.guest-image.mode')
    }
})

test('reports of guests that are not closed to the host are refused', async () => {
  await using world = await hardwareWorld()
  const cases = [
    ['snp.policy.debug', { report: { policy: readGuestPolicy(0xb0000n) } }],
    ['snp.policy.migration-agent', { report: { policy: readGuestPolicy(0x70000n) } }],
    ['snp.vmpl.mismatch', { template: { vmpl: 1 } }],
    ['snp.report.host-requested', { report: { vmpl: 0xffff_ffff } }],
    ['snp.chip.masked', { template: { chipId: new Uint8Array(64) } }],
    ['snp.report.chip-key-masked', { report: { keyInfo: readKeyInfo(2) } }],
  ] as const
  for (const [code, change] of cases)
    assert.deepEqual(await refusalOf(world, world.guest(change)), { step: 'attestation', code })
})

test('a report whose signature is not over its bytes is refused', async () => {
  await using world = await hardwareWorld()
  const { client } = world.t
  const challenge = await client.auth()
  const attestation = client.attestation(challenge, world.guest()) as {
    'tee-evidence': { primary_evidence: { attestation_report: { measurement: number[] } } }
  }
  const { measurement } = attestation['tee-evidence'].primary_evidence.attestation_report
  measurement[0] = (measurement[0] as number) ^ 1
  assert.equal(await sendRefused(world, challenge, attestation), 'snp.signature.invalid')
})

test('hardware evidence without a revocation list in date is refused', async () => {
  await using world = await hardwareWorld()
  const now = Date.now()
  const list = (from: number, to: number, revoked: number[] = []) =>
    world.amd.revocationList(new Date(now + from), new Date(now + to), revoked)
  const cases = [
    ['snp.revocation.missing', []],
    ['snp.revocation.expired', [list(-2 * HOUR_MS, -HOUR_MS)]],
    ['snp.revocation.not-yet-valid', [list(HOUR_MS, 2 * HOUR_MS)]],
    ['snp.revocation.revoked', [list(-HOUR_MS, HOUR_MS, [2])]],
  ] as const
  for (const [code, revocationLists] of cases)
    assert.deepEqual(await refusalOf(world, world.guest({ revocationLists })), {
      step: 'attestation',
      code,
    })
})

test('a simulated root sent along does not spare hardware evidence its revocation list', async () => {
  const [amd, simulated] = [new FakeAmd(), new FakeAmd({ names: 'simulated' })]
  await using t = await startTestBroker({
    appraisers: { snp: amd.appraise.bind(amd) },
    simulatedRoots: [simulated.fingerprint],
  })
  const guest = new FakeGuest({ amd, initdata: fakeInitdata() })
  const challenge = await t.client.auth()
  const attestation = t.client.attestation(challenge, guest) as {
    'tee-evidence': { primary_evidence: { cert_chain: object[] } }
  }
  const { cert_chain } = attestation['tee-evidence'].primary_evidence
  cert_chain.push({ cert_type: 'ARK', data: [...simulated.ark] })
  const { code, requestId } = refusal(await t.client.send(challenge, attestation))
  assert.equal(code, 'attestation.refused')
  assert.equal((await t.audit(requestId)).code, 'snp.revocation.missing')
})

test("the owner's revocation list serves guests that bring none", async () => {
  await using world = await hardwareWorld()
  const guest = () => world.guest({ revocationLists: [] })
  assert.equal((await refusalOf(world, guest())).code, 'snp.revocation.missing')
  const der = Buffer.from(world.revocationList).toString('base64')
  await world.t.owner('PUT', '/revocation-lists', { der })
  assert.deepEqual(await world.t.client.resource(guest(), SECRET_PATH), world.secret)
})

test("the host's own initdata instead of the measured one is refused", async () => {
  await using world = await hardwareWorld()
  const { client } = world.t
  const own = fakeInitdata({ container: { id: 'demo', args: ['sh'] } })
  const guest = world.guest()
  const challenge = await client.auth()
  const attestation = {
    ...client.attestation(challenge, guest),
    'init-data': { format: 'toml', body: Buffer.from(own).toString() },
  }
  assert.equal(await sendRefused(world, challenge, attestation), 'snp.host-data.mismatch')
})

test('initdata that no owner registered, none at all, or zero HOST_DATA gets no secret', async () => {
  await using world = await hardwareWorld()
  const initdata = fakeInitdata({ name: 'unknown' })
  assert.deepEqual(await refusalOf(world, world.guest({ initdata })), {
    step: 'release',
    code: 'release.workload-unregistered',
  })
  const { client } = world.t
  const guest = world.guest({ template: { hostData: new Uint8Array(32) } })
  const challenge = await client.auth()
  const attestation = { ...client.attestation(challenge, guest), 'init-data': null }
  assert.equal((await client.send(challenge, attestation)).status, 200)
  const { cookie } = challenge
  const answer = await client.call('GET', `/resource/${SECRET_PATH}`, { cookie })
  const { requestId } = refusal(answer)
  assert.equal((await world.t.audit(requestId)).code, 'release.workload-unregistered')
})

test('evidence that is no evidence is refused without an exception', async () => {
  await using world = await hardwareWorld()
  const { client } = world.t
  for (const primary_evidence of [null, 5, 'x', [], {}, { attestation_report: {} }]) {
    const challenge = await client.auth()
    const attestation = {
      ...client.attestation(challenge, world.guest()),
      'tee-evidence': { primary_evidence, additional_evidence: '' },
    }
    const code = await sendRefused(world, challenge, attestation)
    assert.equal(code, 'attestation.evidence-malformed')
  }
})

test('a simulated token says so: claims under sample, hardware contraindicated', async () => {
  await using world = await simulatedWorld()
  const { text } = await world.t.client.attest(world.guest())
  const { token } = JSON.parse(text) as { token: string }
  const claims = JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString())
  const { cpu0 } = claims.submods
  assert.equal(cpu0['ear.status'], 'contraindicated')
  assert.equal(cpu0['ear.trustworthiness-vector'].hardware, 97)
  const evidence = cpu0['ear.veraison.annotated-evidence']
  assert.equal(evidence.snp, undefined)
  assert.equal(typeof evidence.sample, 'object')
})

test('a kind of TEE that the broker cannot verify gets no challenge', async () => {
  await using world = await hardwareWorld()
  for (const tee of ['sample', 'sgx', 'nonsense']) {
    const body = { version: '0.4.0', tee, 'extra-params': '' }
    const answer = await world.t.client.call('POST', '/auth', {}, body)
    assert.equal(refusal(answer).code, 'attestation.tee-unsupported')
  }
})

test('FakeGuest that does everything right is not refused', async () => {
  await using world = await hardwareWorld()
  const guest = new FakeGuest({
    amd: world.amd,
    initdata: world.initdata,
    revocationLists: [world.revocationList],
  })
  assert.deepEqual(await world.t.client.resource(guest, SECRET_PATH), world.secret)
})

test('a flood of challenges pushes out nobody: the session before it attests, and its nonce stays spent', async () => {
  const amd = new FakeAmd({ names: 'simulated' })
  const limits = { burst: 1e9, perSecond: 1e9 }
  await using t = await startTestBroker({ simulatedRoots: [amd.fingerprint], limits })
  const guest = new FakeGuest({ amd, initdata: fakeInitdata() })
  const [waiting, used] = [await t.client.auth(), await t.client.auth()]
  const evidence = t.client.attestation(used, guest)
  assert.equal((await t.client.send(used, evidence)).status, 200)
  const flood = async () => {
    for (let n = 0; n < 300; n++) await t.client.auth()
  }
  await Promise.all(Array.from({ length: 16 }, flood))
  const accepted = await t.client.send(waiting, t.client.attestation(waiting, guest))
  assert.equal(accepted.status, 200)
  const replay = await t.client.send(waiting, evidence)
  // The session is attested: it has its token, whatever is sent.
  assert.deepEqual([replay.status, replay.text], [200, accepted.text])
  const other = await t.client.auth()
  assert.equal(refusal(await t.client.send(other, evidence)).code, 'attestation.refused')
})

test("who has a workload's initdata and a machine of his own does not fill the audit: what is beyond the bounds is counted", async () => {
  const amd = new FakeAmd({ names: 'simulated' })
  const limits = { burst: 1e9, perSecond: 1e9, entriesPerAddress: 3, entriesPerWorkload: 5 }
  await using t = await startTestBroker({ simulatedRoots: [amd.fingerprint], limits })
  const initdata = fakeInitdata()
  await registerDemo(t, { initdata, anchors: 'simulated', mode: 'simulated', value: Buffer.of(1) })
  for (let n = 0; n < 8; n++)
    assert.equal((await t.client.attest(new FakeGuest({ amd, initdata }))).status, 200)
  const list = AuditListSchema.parse(await t.owner('GET', '/audit?workload=demo'))
  const entries = list.entries.map(readAuditLeaf)
  const kinds = entries.map(({ kind, subject }) => [kind, subject?.split(',', 1)[0]])
  assert.deepEqual(kinds, [
    ['attestation', '5 allowed'],
    ['attestation', undefined],
    ['attestation', undefined],
    ['attestation', undefined],
  ])
})
