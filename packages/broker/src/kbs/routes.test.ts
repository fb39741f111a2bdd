import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'
import { compactVerify, flattenedDecrypt, importJWK, type JWK } from 'jose'
import { encryptJwe } from '@cloister/protocol/jwe'
import { SECRET_PATH } from '../testing/test-broker.ts'
import { FakeGuest } from '../testing/fake-guest.ts'
import { refusal } from '../testing/rcar-client.ts'
import { adminToken } from '../testing/test-broker.ts'
import { hardwareWorld } from '../testing/world.ts'

const VECTORS =
  process.env['CLOISTER_VECTORS'] ??
  fileURLToPath(new URL('../../../../../shared/vectors', import.meta.url))
const withVectors = { skip: existsSync(VECTORS) ? false : `no vectors in ${VECTORS}` }

const ERROR = 'https://github.com/confidential-containers/kbs/errors/'
const REQUEST = { version: '0.4.0', tee: 'snp', 'extra-params': '' }

test('/auth answers with nonce, extra-params and a cookie as upstream does', async () => {
  await using world = await hardwareWorld()
  const answer = await world.t.client.call('POST', '/auth', {}, { ...REQUEST, later: true })
  assert.equal(answer.status, 200)
  const challenge = JSON.parse(answer.text) as { nonce: string }
  assert.deepEqual(Object.keys(challenge), ['nonce', 'extra-params'])
  assert.equal(Buffer.from(challenge.nonce, 'base64').length, 32)
  assert.equal(challenge.nonce.length, 44)
  const [cookie = ''] = answer.headers['set-cookie'] as string[]
  assert.match(cookie, /^kbs-session-id=[A-Za-z0-9_-]{80,200}; Expires=[^;]+ GMT; Path=\/kbs\/v0; /)
})

test('/auth refuses every other version and malformed requests with 401 AttestationError', async () => {
  await using world = await hardwareWorld()
  const { client } = world.t
  const old = await client.call('POST', '/auth', {}, { ...REQUEST, version: '0.2.0' })
  assert.equal(old.status, 401)
  const { type, detail } = JSON.parse(old.text) as { type: string; detail: string }
  assert.equal(type, `${ERROR}AttestationError`)
  assert.ok(
    detail.startsWith(
      'Attestation error: RCAR handshake Auth failed: KBS Client Protocol Version Mismatch: expect =0.4.0 while the request is 0.2.0',
    ),
  )
  for (const body of ['', '{', '[]', '{"version":"0.4.0","tee":"snp"}', '\u00ff'])
    assert.deepEqual(
      [refusal(await client.call('POST', '/auth', {}, body))].map(({ status, code }) => [
        status,
        code,
      ]),
      [[401, 'request.malformed']],
    )
})

test('/auth refuses the stale request of a version 0.2.0 client', withVectors, async () => {
  await using world = await hardwareWorld()
  const body = readFileSync(`${VECTORS}/kbs/kbs-request-0.2.0.json`, 'utf8')
  const answer = await world.t.client.call('POST', '/auth', {}, body)
  assert.equal(answer.status, 401)
})

test('what a stranger sends as nonce goes into the audit cut to the length of ours', async () => {
  await using world = await hardwareWorld()
  const { client } = world.t
  const challenge = await client.auth()
  const nonce = 'x'.repeat(8192)
  const answer = await client.send(
    challenge,
    client.attestation({ ...challenge, nonce }, world.guest()),
  )
  const { checks } = await world.t.audit(refusal(answer).requestId)
  assert.equal(checks[0]?.received, nonce.slice(0, challenge.nonce.length))
})

test('/attest needs a session of its own, and answers an attested one with the same token', async () => {
  await using world = await hardwareWorld()
  const { client } = world.t
  const challenge = await client.auth()
  const attestation = client.attestation(challenge, world.guest())
  for (const cookie of ['', 'kbs-session-id=00000000000000000000000000000000', 'other=1'])
    assert.equal(
      refusal(await client.send({ ...challenge, cookie }, attestation)).code,
      'kbs.session',
    )
  const first = await client.send(challenge, attestation)
  const second = await client.send(challenge, attestation)
  assert.equal(first.status, 200)
  assert.equal(second.text, first.text)
})

test('a token verifies by the certificate in its header, and holds what Trustee looks for', async () => {
  await using world = await hardwareWorld()
  const guest = world.guest()
  const { text, challenge } = await world.t.client.attest(guest)
  const { token } = JSON.parse(text) as { token: string }
  const header = JSON.parse(Buffer.from(token.split('.')[0] as string, 'base64url').toString())
  assert.deepEqual([header.typ, header.alg, header.jwk.alg], ['JWT', 'ES256', 'ES256'])
  const { x5c, ...jwk } = header.jwk as JWK & { x5c: string[] }
  const certificate = new X509Certificate(Buffer.from(x5c[0] as string, 'base64'))
  const { x, y } = certificate.publicKey.export({ format: 'jwk' })
  assert.deepEqual([jwk.x, jwk.y], [x, y])
  assert.equal(certificate.verify(certificate.publicKey), true)
  const pinned = new X509Certificate(world.t.broker.tokenSigner)
  assert.deepEqual(certificate.raw, pinned.raw)
  const { payload } = await compactVerify(token, await importJWK(jwk, 'ES256'))
  const claims = JSON.parse(new TextDecoder().decode(payload))
  assert.equal(claims.exp - claims.iat, 300)
  assert.equal(claims.eat_profile, 'tag:github.com,2024:confidential-containers/Trustee')
  const { cpu0 } = claims.submods
  assert.equal(cpu0['ear.status'], 'affirming')
  assert.deepEqual(cpu0['ear.trustworthiness-vector'], {
    'instance-identity': 0,
    configuration: 2,
    executables: 3,
    'file-system': 0,
    hardware: 2,
    'runtime-opaque': 0,
    'storage-opaque': 0,
    'sourced-data': 0,
  })
  assert.equal(cpu0['ear.appraisal-policy-id'], 'default')
  const evidence = cpu0['ear.veraison.annotated-evidence']
  assert.equal(evidence.sample, undefined)
  assert.equal(evidence.snp.measurement, 'ab'.repeat(48))
  assert.deepEqual(evidence.runtime_data_claims, {
    nonce: challenge.nonce,
    'tee-pubkey': guest.publicKey,
    'additional-evidence': '',
  })
  assert.ok('cloister.json' in evidence.init_data_claims)
})

test('a guest that nobody registered attests, but only to a warning', async () => {
  await using world = await hardwareWorld()
  await world.t.owner('POST', '/workloads/demo/withdraw', {})
  await world.t.owner('POST', '/guest-images/base/withdraw', { imageVersion: 1 })
  const { text } = await world.t.client.attest(world.guest())
  const { token } = JSON.parse(text) as { token: string }
  const claims = JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString())
  const { cpu0 } = claims.submods
  assert.equal(cpu0['ear.status'], 'warning')
  assert.equal(cpu0['ear.trustworthiness-vector'].configuration, 36)
  assert.equal(cpu0['ear.trustworthiness-vector'].executables, 33)
})

test('a resource comes as a JWE to session and bearer alike', async () => {
  await using world = await hardwareWorld()
  const guest = world.guest()
  const { text, challenge } = await world.t.client.attest(guest)
  const { token } = JSON.parse(text) as { token: string }
  const { cookie } = challenge
  for (const headers of [{ cookie }, { authorization: `Bearer ${token}` }]) {
    const answer = await world.t.client.call('GET', `/resource/${SECRET_PATH}`, headers)
    assert.equal(answer.status, 200)
    assert.equal(answer.headers['content-type'], 'application/json')
    const { plaintext } = await flattenedDecrypt(JSON.parse(answer.text), guest.privateKey)
    assert.deepEqual(Buffer.from(plaintext), world.secret)
  }
})

test('encryptJwe() is read by another implementation, for each kind of key', async () => {
  await using world = await hardwareWorld()
  const { amd, initdata } = world
  for (const keyType of ['P-256', 'P-521', 'RSA'] as const) {
    const guest = new FakeGuest({ amd, initdata, keyType })
    const jwe = encryptJwe(Buffer.from('x'), guest.publicKey)
    const { plaintext } = await flattenedDecrypt(jwe, guest.privateKey)
    assert.equal(new TextDecoder().decode(plaintext), 'x')
  }
})

test('paths that are not served are 404 with the KBS error object', async () => {
  await using world = await hardwareWorld()
  const { client } = world.t
  const cases = [
    ['GET', '/nonsense/a', 'PluginNotFound', 'kbs.plugin'],
    ['GET', '/auth', 'InvalidRequestPath', 'kbs.path'],
    ['GET', '/resource', 'InvalidRequestPath', 'kbs.path'],
    ['PUT', '/resource/a/b/c', 'InvalidRequestPath', 'kbs.path'],
  ] as const
  for (const [method, path, variant, code] of cases) {
    const refused = refusal(await client.call(method, path))
    assert.deepEqual([refused.status, refused.variant, refused.code], [404, variant, code])
  }
})

test("Trustee's admin calls store and delete a resource, which goes to nobody without a policy", async () => {
  await using world = await hardwareWorld()
  const { client, broker, adminKey } = world.t
  const authorization = `Bearer ${await adminToken(adminKey, broker.url, Date.now())}`
  const path = '/resource/default/demo/raw'
  const stranger = refusal(await client.call('POST', path, {}, 'value'))
  assert.deepEqual(
    [stranger.status, stranger.variant, stranger.code],
    [401, 'AdminAuthInitialization', 'broker.admin.unauthorized'],
  )
  const stored = await client.call('POST', path, { authorization }, 'value')
  assert.deepEqual(
    [stored.status, stored.text, stored.headers['content-type']],
    [200, '', 'text/xml'],
  )
  const { challenge } = await client.attest(world.guest())
  const refused = await client.call('GET', path, { cookie: challenge.cookie })
  assert.equal((await world.t.audit(refusal(refused).requestId)).code, 'release.policy-absent')
  const remove = () => client.call('DELETE', path, { authorization })
  assert.equal((await remove()).status, 200)
  assert.equal((await remove()).status, 401)
})
