/** Attacks on the release of secrets: good evidence, but not for this secret, not any more, or not by this key. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fakeChipId } from '@cloister/broker/testing/fake-guest'
import { exchange } from '@cloister/broker/testing/https-exchange'
import { refusal } from '@cloister/broker/testing/rcar-client'
import {
  fakeManifest,
  fakePolicy,
  SECRET_PATH,
  startTestBroker,
} from '@cloister/broker/testing/test-broker'
import { refusalOf, registerWorkload, type World } from '@cloister/broker/testing/world'
import { decryptJwe } from '@cloister/protocol/jwe'
import {
  silentHardwareWorld as hardwareWorld,
  silentSimulatedWorld as simulatedWorld,
} from './support/silent-world.ts'

const MINUTE_MS = 60_000

async function tokenOf({ t }: World, guest: ReturnType<World['guest']>): Promise<string> {
  const { status, text } = await t.client.attest(guest)
  assert.equal(status, 200)
  return (JSON.parse(text) as { token: string }).token
}

const getWith = ({ t }: World, token: string, path: string = SECRET_PATH) =>
  t.client.call('GET', `/resource/${path}`, { authorization: `Bearer ${token}` })

/** Code in the audit of a refused GET. */
async function auditCode({ t }: World, answer: Awaited<ReturnType<typeof getWith>>) {
  assert.equal(answer.status, 401)
  return (await t.audit(refusal(answer).requestId)).code
}

test('a secret without a release policy goes to nobody', async () => {
  await using world = await hardwareWorld()
  await world.t.owner('PUT', '/secrets/default/demo/other', { value: 'c2VjcmV0' })
  const token = await tokenOf(world, world.guest())
  const answer = await getWith(world, token, 'default/demo/other')
  assert.equal(await auditCode(world, answer), 'release.policy-absent')
})

test('an absent secret and a forbidden one look the same to a guest', async () => {
  await using world = await hardwareWorld()
  await world.t.owner('PUT', '/secrets/default/demo/other', { value: 'c2VjcmV0' })
  const token = await tokenOf(world, world.guest())
  const paths = ['default/demo/other', 'default/demo/absent', 'no/path', 'a/b/c/d']
  const answers = await Promise.all(paths.map((path) => getWith(world, token, path)))
  const shapes = answers.map((answer) => {
    const { status, variant, code, requestId } = refusal(answer)
    const words = answer.text.replace(requestId as string, '')
    return JSON.stringify([status, variant, code, words])
  })
  assert.equal(new Set(shapes).size, 1)
})

test('each workload gets only what a policy names it for', async () => {
  await using world = await hardwareWorld()
  const initdata = await registerWorkload(world, { name: 'other' })
  assert.deepEqual(await refusalOf(world, world.guest({ initdata })), {
    step: 'release',
    code: 'release.workload-not-listed',
  })
})

test('a withdrawn workload revision is refused at once, token or not', async () => {
  await using world = await hardwareWorld()
  const token = await tokenOf(world, world.guest())
  assert.equal((await getWith(world, token)).status, 200)
  await world.t.owner('POST', '/workloads/demo/withdraw', {})
  assert.equal(await auditCode(world, await getWith(world, token)), 'release.workload-withdrawn')
  const { code } = await refusalOf(world, world.guest())
  assert.equal(code, 'release.workload-withdrawn')
})

test('a superseded workload revision is refused at once', async () => {
  await using world = await hardwareWorld()
  const token = await tokenOf(world, world.guest())
  const initdata = await registerWorkload(world, { revision: 2 })
  assert.equal(await auditCode(world, await getWith(world, token)), 'release.workload-superseded')
  const value = await world.t.client.resource(world.guest({ initdata }), SECRET_PATH)
  assert.deepEqual(value, world.secret)
})

test('an older revision cannot be registered over a newer one', async () => {
  await using world = await hardwareWorld()
  await registerWorkload(world, { revision: 3 })
  const initdata = Buffer.from(world.initdata).toString('base64')
  const answer = await world.t.admin('PUT', '/workloads/demo', { initdata })
  assert.equal(JSON.parse(answer.text).code, 'broker.workload.revision')
})

test('a withdrawn guest image is refused at once, token or not', async () => {
  await using world = await hardwareWorld()
  const token = await tokenOf(world, world.guest())
  await world.t.owner('POST', '/guest-images/base/withdraw', { imageVersion: 1 })
  assert.equal(await auditCode(world, await getWith(world, token)), 'release.image-withdrawn')
})

test('a guest image below the minimum version is refused', async () => {
  const guestImages = [{ name: 'base', minimumVersion: 2 }]
  await using world = await hardwareWorld({ policy: fakePolicy({ guestImages }) })
  const { code } = await refusalOf(world, world.guest())
  assert.equal(code, 'release.image-version')
  const digest = 'ef'.repeat(48)
  const manifest = fakeManifest({ imageVersion: 2, digest })
  await world.t.owner('PUT', '/guest-images/base', { manifest, mode: 'hardware', anchors: 'amd' })
  const guest = world.guest({ template: { measurement: Buffer.from(digest, 'hex') } })
  assert.deepEqual(await world.t.client.resource(guest, SECRET_PATH), world.secret)
})

test('a TCB below the policy is refused, and a line of processors that it does not name', async () => {
  const floor = { bootloader: 10, tee: 1, snp: 25, microcode: 73 }
  await using low = await hardwareWorld({ policy: fakePolicy({ minimumTcb: { Genoa: floor } }) })
  assert.equal((await refusalOf(low, low.guest())).code, 'release.tcb.reported')
  await using other = await hardwareWorld({ policy: fakePolicy({ minimumTcb: { Turin: floor } }) })
  assert.equal((await refusalOf(other, other.guest())).code, 'release.processor')
})

test('a chip that is not enrolled is refused where the policy demands it, until it is', async () => {
  await using world = await hardwareWorld({ policy: fakePolicy({ platforms: 'enrolled' }) })
  assert.equal((await refusalOf(world, world.guest())).code, 'release.platform')
  await world.t.owner('PUT', `/platforms/${Buffer.from(fakeChipId('Genoa')).toString('hex')}`)
  const value = await world.t.client.resource(world.guest(), SECRET_PATH)
  assert.deepEqual(value, world.secret)
})

test('a Milan chip that is not enrolled is degraded, and refused unless the policy takes that', async () => {
  await using world = await hardwareWorld({ line: 'Milan' })
  assert.equal((await refusalOf(world, world.guest())).code, 'release.attestation-degraded')
  await world.t.owner(
    'PUT',
    `/release-policies/${SECRET_PATH}`,
    fakePolicy({ allowDegraded: true }),
  )
  const value = await world.t.client.resource(world.guest(), SECRET_PATH)
  assert.deepEqual(value, world.secret)
})

test('Genoa and Turin get what the policy grants them', async () => {
  for (const line of ['Genoa', 'Turin'] as const) {
    await using world = await hardwareWorld({ line })
    assert.deepEqual(await world.t.client.resource(world.guest(), SECRET_PATH), world.secret)
  }
})

test('the policy of now decides, not the one at the time of the token', async () => {
  await using world = await hardwareWorld()
  const token = await tokenOf(world, world.guest())
  const policy = fakePolicy({ workloads: [{ name: 'demo', minimumRevision: 2 }] })
  await world.t.owner('PUT', `/release-policies/${SECRET_PATH}`, policy)
  assert.equal(await auditCode(world, await getWith(world, token)), 'release.workload-not-listed')
})

test('a stolen token gives its thief nothing that another key can open', async () => {
  await using world = await hardwareWorld()
  const token = await tokenOf(world, world.guest())
  const thief = world.guest()
  const answer = await getWith(world, token)
  assert.equal(answer.status, 200)
  const jwe: unknown = JSON.parse(answer.text)
  assert.throws(() => decryptJwe(jwe, thief.privateKey), { code: 'jwe.malformed' })
})

test('a token with another key pair is refused', async () => {
  await using world = await hardwareWorld()
  const [header, payload, signature] = (await tokenOf(world, world.guest())).split('.') as [
    string,
    string,
    string,
  ]
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
  const evidence = claims.submods.cpu0['ear.veraison.annotated-evidence']
  evidence.runtime_data_claims['tee-pubkey'] = world.guest().publicKey
  const forged = Buffer.from(JSON.stringify(claims)).toString('base64url')
  const none = Buffer.from(JSON.stringify({ alg: 'none' })).toString('base64url')
  const tokens = [
    `${header}.${forged}.${signature}`,
    `${none}.${forged}.`,
    `${none}.${forged}.${signature}`,
    `${header}.${payload}.`,
    `${header}.${payload}`,
    'x',
  ]
  for (const token of tokens) {
    const { status, variant, code } = refusal(await getWith(world, token))
    assert.deepEqual([status, variant, code], [401, 'TokenVerifierError', 'kbs.token'])
  }
})

test('a token of another broker is refused', async () => {
  await using world = await hardwareWorld()
  await using other = await hardwareWorld()
  const token = await tokenOf(other, other.guest())
  assert.equal(refusal(await getWith(world, token)).code, 'kbs.token')
})

test('an expired token is refused', async () => {
  let now = Date.now()
  await using world = await hardwareWorld({ now: () => now })
  const token = await tokenOf(world, world.guest())
  now += 6 * MINUTE_MS
  assert.equal(refusal(await getWith(world, token)).code, 'kbs.token')
})

test('a broker with another key is not spoken to', async () => {
  await using world = await hardwareWorld()
  await using other = await startTestBroker()
  const call = exchange(`${other.broker.url}/healthz`, world.t.agent, { method: 'GET' })
  await assert.rejects(call, { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
})

test('a broker that holds a real secret trusts no simulated processor', async () => {
  await using world = await hardwareWorld()
  const fingerprint = 'aa'.repeat(32)
  const answer = await world.t.admin('PUT', '/anchors/simulated', { fingerprint })
  assert.equal(JSON.parse(answer.text).code, 'broker.simulated.secrets')
})

test('a broker that holds a real secret does not start with a simulated root', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'cloister-broker-test-'))
  {
    await using t = await startTestBroker({ directory })
    await t.owner('PUT', '/secrets/default/demo/real', { value: 'c2VjcmV0' })
  }
  const simulatedRoots = ['aa'.repeat(32)]
  const start = startTestBroker({ directory, simulatedRoots })
  await assert.rejects(start, { code: 'broker.simulated.secrets' })
  rmSync(directory, { recursive: true })
})

test('a broker with a simulated root takes no real secret', async () => {
  await using world = await simulatedWorld()
  const real = { value: 'c2VjcmV0', allowSimulated: false }
  const answer = await world.t.admin('PUT', '/secrets/default/demo/real', real)
  assert.equal(JSON.parse(answer.text).code, 'broker.simulated.secrets')
  // Nor can one that is there be turned into one.
  const again = await world.t.admin('PUT', `/secrets/${SECRET_PATH}`, real)
  assert.equal(JSON.parse(again.text).code, 'broker.simulated.secrets')
})

test('a simulated root that is no longer pinned gets nothing, token or not', async () => {
  await using world = await simulatedWorld()
  const token = await tokenOf(world, world.guest())
  await world.t.owner('DELETE', `/anchors/simulated/${world.amd.fingerprint}`)
  assert.equal(await auditCode(world, await getWith(world, token)), 'release.anchors')
  const { step, code } = await refusalOf(world, world.guest())
  assert.deepEqual([step, code], ['attestation', 'snp.endorsement.untrusted-root'])
})

test('a policy for hardware refuses a simulated TEE, whatever the secret allows', async () => {
  await using world = await simulatedWorld()
  await world.t.owner('PUT', `/release-policies/${SECRET_PATH}`, fakePolicy({ anchors: ['amd'] }))
  assert.equal((await refusalOf(world, world.guest())).code, 'release.anchors')
})

test('a session that did not attest gets nothing', async () => {
  await using world = await hardwareWorld()
  const { cookie } = await world.t.client.auth()
  for (const headers of [{ cookie }, {}, { cookie: 'kbs-session-id=00' }]) {
    const answer = await world.t.client.call('GET', `/resource/${SECRET_PATH}`, headers)
    const { status, variant, code } = refusal(answer)
    assert.deepEqual([status, variant, code], [401, 'TokenNotFound', 'kbs.token-absent'])
  }
})

test('neither storage nor audit nor metrics hold a secret in clear', async () => {
  await using world = await hardwareWorld()
  const canary = randomBytes(16).toString('hex')
  await world.t.owner('PUT', '/secrets/default/demo/canary', {
    value: Buffer.from(canary).toString('base64'),
    release: fakePolicy(),
  })
  const value = await world.t.client.resource(world.guest(), 'default/demo/canary')
  assert.deepEqual(value, Buffer.from(canary))
  const forms = [canary, Buffer.from(canary).toString('base64').slice(0, -4)]
  for (const file of readdirSync(world.t.directory))
    for (const form of forms)
      assert.ok(!readFileSync(join(world.t.directory, file)).includes(form), file)
  const audit = await world.t.admin('GET', '/audit')
  const metrics = await exchange(`${world.t.broker.url}/metrics`, world.t.agent, { method: 'GET' })
  for (const form of forms) assert.ok(!`${audit.text}${metrics.text}`.includes(form))
})
