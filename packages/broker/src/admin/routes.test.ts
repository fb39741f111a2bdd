import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { SignJWT } from 'jose'
import {
  AuditListSchema,
  BrokerStatusSchema,
  GuestImageListSchema,
  PlatformListSchema,
  PutSecretResultSchema,
  SecretListSchema,
  WorkloadListSchema,
  WorkloadRevisionSchema,
} from '@cloister/protocol/broker-admin-api'
import { fakeInitdata } from '../testing/fake-guest.ts'
import {
  adminToken,
  fakeManifest,
  fakePolicy,
  SECRET_PATH,
  startTestBroker,
} from '../testing/test-broker.ts'
import { hardwareWorld } from '../testing/world.ts'
import { readAuditLeaf } from '@cloister/protocol/audit-entry'
import { openCheckpoint, parseLogKey } from '@cloister/protocol/tlog/checkpoint'
import { completeHash, joinSubtrees, leafHash } from '@cloister/protocol/tlog/merkle'
import { encodeBundle } from '@cloister/protocol/tlog/tiles'

const base64 = (value: string | Uint8Array) => Buffer.from(value).toString('base64')
const code = ({ text }: { readonly text: string }) => (JSON.parse(text) as { code: string }).code

test('only a fresh token of the owner for this broker opens the admin side', async () => {
  await using t = await startTestBroker()
  const { adminKey, broker } = t
  const now = Date.now()
  const stranger = generateKeyPairSync('ed25519').privateKey
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
  const unsigned = `${base64('{"alg":"none"}')}.${base64('{"role":"admin"}')}.`
  const eternal = new SignJWT({ role: 'admin' }).setProtectedHeader({ alg: 'EdDSA' })
  const tokens = [
    '',
    'x.y.z',
    unsigned,
    await adminToken(stranger, broker.url, now),
    await adminToken(adminKey, broker.url, now, { role: 'reader' }),
    await adminToken(adminKey, broker.url, now, { audience: 'https://other' }),
    await adminToken(adminKey, broker.url, now, { seconds: -10 }),
    await adminToken(adminKey, broker.url, now, { seconds: 3600 }),
    await eternal.setAudience(broker.url).sign(adminKey),
    await new SignJWT({ role: 'admin' })
      .setProtectedHeader({ alg: 'RS256' })
      .setAudience(broker.url)
      .setExpirationTime('1m')
      .sign(rsa),
  ]
  for (const path of ['/status', '/secrets', '/audit', '/nonsense'])
    for (const token of tokens) {
      const answer = await t.admin('GET', path, undefined, `Bearer ${token}`)
      assert.deepEqual([answer.status, code(answer)], [401, 'broker.admin.unauthorized'])
    }
  assert.equal((await t.admin('GET', '/status')).status, 200)
  assert.equal((await t.admin('GET', '/nonsense')).status, 404)
})

test('an owner whose clock is years off learns that, and nobody else does', async () => {
  await using t = await startTestBroker()
  const decade = 10 * 365 * 86_400
  const refusal = async (key: KeyObject, seconds: number) => {
    const token = await adminToken(key, t.broker.url, Date.now(), { seconds })
    const { text } = await t.admin('GET', '/status', undefined, `Bearer ${token}`)
    return JSON.parse(text) as { why: string; expected?: string; received?: string }
  }
  assert.match((await refusal(t.adminKey, -decade)).why, /behind/)
  const ahead = await refusal(t.adminKey, decade)
  assert.match(ahead.why, /ahead/)
  assert.match(ahead.received ?? '', /^one until \d{4}-/)
  const stranger = await refusal(generateKeyPairSync('ed25519').privateKey, -decade)
  assert.deepEqual([stranger.expected, stranger.received], [undefined, undefined])
})

test('a broker without admin keys is administered by nobody', async () => {
  await using t = await startTestBroker({ adminKeys: [] })
  assert.equal((await t.admin('GET', '/status')).status, 401)
})

test('a broker does not start with an admin key of another kind', async () => {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const pem = publicKey.export({ type: 'spki', format: 'pem' }) as string
  for (const key of [pem, 'no key'])
    await assert.rejects(startTestBroker({ adminKeys: [key] }), { code: 'request.malformed' })
})

test('a broker can be stopped twice', async () => {
  await using t = await startTestBroker()
  await Promise.all([t.broker.stop(), t.broker.stop()])
})

test('status, secrets, workloads, guest images and platforms answer as documented', async () => {
  await using world = await hardwareWorld()
  const { t } = world
  const chipId = 'ab'.repeat(64)
  await t.owner('PUT', `/platforms/${chipId}`)
  const status = BrokerStatusSchema.strict().parse(await t.owner('GET', '/status'))
  assert.equal(status.url, t.broker.url)
  assert.deepEqual(status.spki, [t.broker.spki])
  assert.equal(status.tokenSigner, t.broker.tokenSigner)
  assert.deepEqual(status.counts, {
    secrets: 1,
    workloads: 1,
    guestImages: 1,
    platforms: 1,
    auditEntries: 4,
  })
  const { secrets } = SecretListSchema.parse(await t.owner('GET', '/secrets'))
  assert.deepEqual(
    secrets.map(({ path, version, allowSimulated }) => ({ path, version, allowSimulated })),
    [{ path: SECRET_PATH, version: 1, allowSimulated: false }],
  )
  const { workloads } = WorkloadListSchema.parse(await t.owner('GET', '/workloads'))
  assert.deepEqual(
    workloads.map(({ name, revision, state }) => [name, revision, state]),
    [['demo', 1, 'current']],
  )
  const { guestImages } = GuestImageListSchema.parse(await t.owner('GET', '/guest-images'))
  assert.deepEqual(
    guestImages.map(({ name, state, digests, measurements }) => [
      name,
      state,
      digests,
      measurements.map(({ length }) => length),
    ]),
    [['base', 'current', 1, [96]]],
  )
  const { platforms } = PlatformListSchema.parse(await t.owner('GET', '/platforms'))
  assert.equal(platforms[0]?.chipId, chipId)
  await t.owner('DELETE', `/platforms/${chipId}`)
  assert.equal(code(await t.admin('DELETE', `/platforms/${chipId}`)), 'broker.not-found')
})

test('secrets have versions, keep their policy, and no answer shows a value', async () => {
  await using t = await startTestBroker()
  const put = (body: object) => t.owner('PUT', `/secrets/${SECRET_PATH}`, body)
  const first = await put({ value: base64('hidden-1'), release: fakePolicy() })
  assert.deepEqual(PutSecretResultSchema.parse(first), { path: SECRET_PATH, version: 1 })
  await put({ value: base64('hidden-2') })
  const listed = await t.admin('GET', '/secrets')
  const { secrets } = SecretListSchema.parse(JSON.parse(listed.text))
  const [secret] = secrets
  assert.ok(secret?.release?.kind !== 'tpm')
  assert.deepEqual([secret?.version, secret?.release?.anchors], [2, ['amd']])
  assert.ok(!/hidden|aGlkZGVu/.test(listed.text))
  await t.owner('DELETE', `/secrets/${SECRET_PATH}`)
  assert.equal(code(await t.admin('DELETE', `/secrets/${SECRET_PATH}`)), 'broker.not-found')
  const policy = await t.admin('PUT', `/release-policies/${SECRET_PATH}`, fakePolicy())
  assert.equal(code(policy), 'broker.not-found')
})

test('requests that are not as documented are refused before anything is stored', async () => {
  await using t = await startTestBroker()
  const cases: [string, string, unknown][] = [
    ['PUT', '/secrets/default/demo', { value: '' }],
    ['PUT', '/secrets/a/b/c/d', { value: '' }],
    ['PUT', '/secrets/.a/b/c', { value: '' }],
    ['PUT', `/secrets/${SECRET_PATH}`, { value: 'not base64!' }],
    ['PUT', `/secrets/${SECRET_PATH}`, { value: '', allowSimulation: true }],
    ['PUT', `/secrets/${SECRET_PATH}`, { value: '', release: { version: 1 } }],
    ['PUT', `/secrets/${SECRET_PATH}`, { value: '', release: fakePolicy({ anchors: [] }) }],
    ['PUT', '/workloads/demo', {}],
    ['PUT', '/guest-images/base', { manifest: {}, mode: 'hardware', anchors: 'amd' }],
    ['PUT', '/guest-images/x', { manifest: fakeManifest(), mode: 'hardware', anchors: 'amd' }],
    ['PUT', '/anchors/simulated', { fingerprint: 'AA' }],
    ['PUT', '/platforms/00', undefined],
    ['GET', '/audit?limit=100000', undefined],
    ['GET', '/audit?limit=x', undefined],
  ]
  for (const [method, path, body] of cases)
    assert.equal(code(await t.admin(method, path, body)), 'request.malformed', path)
  const { counts } = BrokerStatusSchema.parse(await t.owner('GET', '/status'))
  assert.deepEqual(counts, {
    secrets: 0,
    workloads: 0,
    guestImages: 0,
    platforms: 0,
    auditEntries: 0,
  })
})

test('a value beyond the limit of resources is refused', async () => {
  await using t = await startTestBroker()
  const value = base64(Buffer.alloc((1 << 20) + 1))
  assert.equal(
    code(await t.admin('PUT', `/secrets/${SECRET_PATH}`, { value })),
    'broker.body-too-large',
  )
})

test('workloads are registered by exactly their bytes, under their own name', async () => {
  await using t = await startTestBroker()
  const initdata = base64(fakeInitdata())
  const registered = await t.owner('PUT', '/workloads/demo', { initdata })
  assert.equal(WorkloadRevisionSchema.parse(registered).state, 'current')
  const wrong = await t.admin('PUT', '/workloads/other', { initdata })
  assert.equal(code(wrong), 'broker.workload.name')
  const malformed = await t.admin('PUT', '/workloads/demo', { initdata: base64('x = ') })
  assert.equal(code(malformed), 'initdata.malformed')
  assert.equal(code(await t.admin('POST', '/workloads/none/withdraw', {})), 'broker.not-found')
})

test('what the owner does stands in the audit, in one signed tree with the decisions', async () => {
  await using world = await hardwareWorld()
  const { t } = world
  await t.client.resource(world.guest(), SECRET_PATH)
  const list = async (query: string) =>
    AuditListSchema.parse(await t.owner('GET', `/audit?${query}`)).entries
  const leaves = await list('limit=1000')
  const entries = leaves.map(readAuditLeaf)
  assert.deepEqual(
    entries.toReversed().map(({ kind, outcome }) => `${kind} ${outcome}`),
    ['admin allowed', 'admin allowed', 'admin allowed', 'attestation allowed', 'release allowed'],
  )
  const released = entries[0]
  assert.deepEqual(
    [released?.workload, released?.revision, released?.subject],
    ['demo', 1, SECRET_PATH],
  )
  assert.equal((await list('workload=demo')).length, 2)
  assert.deepEqual(
    (await list('before=2')).map(({ index }) => index),
    [1, 0],
  )
  const { auditKey } = BrokerStatusSchema.parse(await t.owner('GET', '/status'))
  const log = parseLogKey(auditKey)
  const checkpoint = await t.admin('GET', '/audit/checkpoint')
  const head = log && openCheckpoint(checkpoint.text, log)
  assert.equal(head?.size, 5)
  const texts = leaves.toReversed().map(({ leaf }) => leaf)
  const hashes = Buffer.concat(texts.map(leafHash))
  const root = joinSubtrees([completeHash(hashes.subarray(0, 4 * 32)), hashes.subarray(4 * 32)])
  assert.deepEqual(Buffer.from(head.root), Buffer.from(root))
  const bundle = await t.admin('GET', '/audit/tile/entries/000.p/5')
  assert.equal(
    bundle.text,
    Buffer.from(encodeBundle(texts.map((text) => Buffer.from(text)))).toString(),
  )
  for (const path of ['0/000', '0/000.p/6', '0/001.p/1', 'entries/000', 'entries/000.p/6', '0/x'])
    assert.equal((await t.admin('GET', `/audit/tile/${path}`)).status, 404, path)
  for (const path of ['checkpoint', 'tile/0/000.p/5', 'tile/entries/000.p/5'])
    assert.equal((await t.admin('GET', `/audit/${path}`, undefined, 'Bearer x')).status, 401)
})

test('a broker keeps keys, secrets and registrations over a restart', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'cloister-broker-test-'))
  const facts = []
  for (let start = 0; start < 2; start++) {
    await using t = await startTestBroker({ directory })
    if (start === 0) await t.owner('PUT', `/secrets/${SECRET_PATH}`, { value: base64('x') })
    const { secrets } = SecretListSchema.parse(await t.owner('GET', '/secrets'))
    facts.push([t.broker.spki, t.broker.tokenSigner, secrets.length])
  }
  assert.deepEqual(facts[0], facts[1])
  for (const file of ['broker.db', 'kek.bin', 'tls.key', 'token.key'])
    assert.equal(statSync(join(directory, file)).mode & 0o777, 0o600, file)
  // Without its key the storage is worthless, and a broker does not pretend otherwise.
  rmSync(join(directory, 'kek.bin'))
  await assert.rejects(startTestBroker({ directory }), { code: 'broker.storage' })
  assert.equal(existsSync(join(directory, 'kek.bin')), false)
  assert.ok(readFileSync(join(directory, 'broker.db')).length > 0)
  rmSync(directory, { recursive: true })
})
