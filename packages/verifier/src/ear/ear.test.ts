import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { FormatError } from '../bytes/format-error.ts'
import { toDer } from '../formats/pem.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import { basicConstraintsExtension } from '../formats/x509-extensions.ts'
import { issueCertificate } from '../formats/x509-issue.ts'
import { NAME_OID } from '../formats/x509-name.ts'
import { keySigner, spkiOf } from '../node/key-signer.ts'
import { WITH_VECTORS, vector } from '../testing/vectors.ts'
import { TRUSTEE_PROFILE, readEarClaims, statusOf, tierOf } from './claims.ts'
import type { EarClaims } from './claims.ts'
import { trustedTokenKey } from './token-signer.ts'
import { makeEarToken, readUnverifiedEarToken, verifyEarToken } from './token.ts'

const NOW = new Date('2026-06-01T00:00:00Z')
const IAT = NOW.getTime() / 1000

const CLAIMS: EarClaims = {
  eat_profile: TRUSTEE_PROFILE,
  iat: IAT,
  exp: IAT + 300,
  iss: 'test',
  'ear.verifier-id': { developer: 'test', build: '1' },
  submods: {
    cpu0: {
      'ear.status': 'affirming',
      'ear.trustworthiness-vector': { hardware: 2, executables: 3 },
      'ear.appraisal-policy-id': 'default',
    },
  },
}

function newSigner() {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const key = keySigner(privateKey)
  const name = [{ oid: NAME_OID.commonName, value: 'token signer' }]
  const spki = spkiOf(privateKey)
  const certificate = issueCertificate(
    {
      serial: 1,
      issuer: name,
      subject: name,
      notBefore: new Date('2026-01-01'),
      notAfter: new Date('2027-01-01'),
      spki,
      extensions: [basicConstraintsExtension(false)],
    },
    key,
  )
  return { spki, certificates: [certificate], sign: (data: Uint8Array) => key.sign(data) }
}

test('a token is valid under its signer only, and only in its time', async () => {
  const signer = newSigner()
  const token = await makeEarToken(CLAIMS, signer)
  const trustedCertificates = signer.certificates
  const good = await verifyEarToken(token, { trustedCertificates, now: NOW })
  assert.deepEqual(good, { valid: true, claims: CLAIMS })
  assert.deepEqual(readUnverifiedEarToken(token), CLAIMS)
  const code = async (text: string, now: Date, trusted = trustedCertificates) => {
    const result = await verifyEarToken(text, { trustedCertificates: trusted, now })
    return result.valid ? 'valid' : result.code
  }
  assert.equal(await code(token, new Date(NOW.getTime() + 400_000)), 'ear.expired')
  assert.equal(await code(token, new Date(NOW.getTime() - 120_000)), 'ear.not-yet-valid')
  assert.equal(await code(token, NOW, []), 'ear.signer-untrusted')
  assert.equal(await code(token, NOW, newSigner().certificates), 'ear.signer-untrusted')
  const [head = '', , signature = ''] = token.split('.')
  const forged = Buffer.from(JSON.stringify({ ...CLAIMS, iss: 'other' })).toString('base64url')
  assert.equal(await code(`${head}.${forged}.${signature}`, NOW), 'ear.signature-invalid')
  assert.equal(await code(`${token}.x`, NOW), 'ear.malformed')
  assert.equal(await code('', NOW), 'ear.malformed')
  const none = Buffer.from('{"alg":"none","jwk":{}}').toString('base64url')
  assert.equal(await code(`${none}.${forged}.`, NOW), 'ear.signer-untrusted')
  const { exp: _exp, ...endless } = CLAIMS
  assert.equal(await code(await makeEarToken(endless, signer), NOW), 'ear.expired')
})

test('token signers: the four scenarios of a KBS', WITH_VECTORS, async () => {
  for (const [scenario, trusted] of [
    ['01', true],
    ['02', false],
    ['03', false],
    ['05', true],
  ] as const) {
    const jwk = JSON.parse(
      new TextDecoder().decode(vector(`ear/kbs-jwk/scenario${scenario}-jwk.json`)),
    ) as Record<string, unknown>
    const anchors = toDer([vector(`ear/kbs-jwk/scenario${scenario}-trust.pem`)]).map(
      parseCertificate,
    )
    const [anchor] = anchors
    assert.ok(anchor !== undefined)
    const now = new Date(anchor.notBefore.getTime() + 86_400_000)
    const key = await trustedTokenKey(jwk, anchors, now)
    assert.equal(key !== undefined, trusted, scenario)
  }
})

test('EAR claims of other makers have the shape we read', WITH_VECTORS, () => {
  for (const name of [
    'ear-claims',
    'ear-claims-extension-ok',
    'ear-claims-key-attestation-ok',
    'ear-claims-tv-ok',
    'example.token',
  ])
    readEarClaims(JSON.parse(new TextDecoder().decode(vector(`ear/${name}.json`))))
})

test('readEarClaims() refuses wrong shapes', () => {
  const submod = CLAIMS.submods['cpu0']
  for (const change of [
    { iat: '1' },
    { exp: -1 },
    { submods: {} },
    { submods: { cpu0: { 'ear.status': 'good' } } },
    { submods: { cpu0: { ...submod, 'ear.trustworthiness-vector': { hardware: 200 } } } },
    { submods: { cpu0: { ...submod, 'ear.trustworthiness-vector': { other: 2 } } } },
    { submods: { cpu0: { ...submod, 'ear.trustworthiness-vector': { hardware: 97 } } } },
    { 'ear.verifier-id': undefined },
  ])
    assert.throws(
      () => readEarClaims({ ...CLAIMS, ...change }),
      FormatError,
      JSON.stringify(change),
    )
})

test('tiers of AR4SI', () => {
  for (const [value, tier] of [
    [-1, 'none'],
    [1, 'none'],
    [2, 'affirming'],
    [31, 'affirming'],
    [-32, 'affirming'],
    [32, 'warning'],
    [-96, 'warning'],
    [95, 'warning'],
    [96, 'contraindicated'],
    [-128, 'contraindicated'],
  ] as const)
    assert.equal(tierOf(value), tier)
  assert.equal(statusOf({}), 'none')
  assert.equal(statusOf({ hardware: 2, executables: 33 }), 'warning')
  assert.throws(() => tierOf(128), RangeError)
})
