import assert from 'node:assert/strict'
import { X509Certificate, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { FormatError } from '../bytes/format-error.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import { keySigner, spkiOf } from '../node/key-signer.ts'
import { WITH_VECTORS, vector } from '../testing/vectors.ts'
import { encodePem, parsePem } from './pem.ts'
import { parseCertificate } from './x509-certificate.ts'
import { parseRevocationList } from './x509-crl.ts'
import { basicConstraints, crlUris, keyUsage } from './x509-extensions.ts'
import { basicConstraintsExtension, keyUsageExtension } from './x509-extensions.ts'
import { issueCertificate, issueRevocationList } from './x509-issue.ts'
import { NAME_OID, commonName } from './x509-name.ts'
import { subjectAltNameExtension } from './x509-subject-alt-name.ts'
import { isSignedBy } from './x509-verify.ts'

const NOT_BEFORE = new Date('2026-01-01T00:00:00Z')
const NOT_AFTER = new Date('2051-01-01T00:00:00Z')
const ROOT_NAME = [
  { oid: NAME_OID.country, value: 'US' },
  { oid: NAME_OID.commonName, value: 'Test Root' },
]

for (const [title, pair] of [
  ['P-256', generateKeyPairSync('ec', { namedCurve: 'P-256' })],
  ['P-384', generateKeyPairSync('ec', { namedCurve: 'P-384' })],
  ['RSA', generateKeyPairSync('rsa', { modulusLength: 2048 })],
] as const)
  test(`issueCertificate() with ${title} is read by us and by OpenSSL`, async () => {
    const der = issueCertificate(
      {
        serial: 0,
        issuer: ROOT_NAME,
        subject: ROOT_NAME,
        notBefore: NOT_BEFORE,
        notAfter: NOT_AFTER,
        spki: spkiOf(pair.publicKey),
        extensions: [
          basicConstraintsExtension(true, 1),
          keyUsageExtension(5, 6),
          subjectAltNameExtension(['localhost', '127.0.0.1', '::1']),
        ],
      },
      keySigner(pair.privateKey),
    )
    const parsed = parseCertificate(der)
    assert.equal(commonName(parsed.subject), 'Test Root')
    assert.equal(toHex(parsed.serial), '00')
    assert.deepEqual([parsed.notBefore, parsed.notAfter], [NOT_BEFORE, NOT_AFTER])
    assert.deepEqual(basicConstraints(parsed), { ca: true, pathLength: 1 })
    const usage = keyUsage(parsed)
    assert.deepEqual(
      Array.from({ length: 16 }, (_, bit) => bit).filter((bit) => usage?.has(bit)),
      [5, 6],
    )
    assert.equal(await isSignedBy(parsed, parsed), true)
    const openssl = new X509Certificate(der)
    assert.equal(openssl.verify(createPublicKey(pair.privateKey)), true)
    assert.equal(openssl.checkIP('::1'), '::1')
    assert.equal(openssl.checkHost('localhost'), 'localhost')
    assert.deepEqual(parsePem(encodePem('CERTIFICATE', der)), [{ label: 'CERTIFICATE', der }])
  })

test('issueRevocationList() makes what parseRevocationList() reads', async () => {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const der = issueRevocationList(
    {
      issuer: ROOT_NAME,
      thisUpdate: NOT_BEFORE,
      nextUpdate: NOT_AFTER,
      revoked: [{ serial: 0x20002, time: NOT_BEFORE }],
    },
    keySigner(pair.privateKey),
  )
  const list = parseRevocationList(der)
  assert.deepEqual([...list.revoked].map(toHex), ['020002'])
  assert.ok(list.revoked.has(fromHex('020002')))
  assert.ok(!list.revoked.has(fromHex('0200')))
  assert.equal(await isSignedBy(list, { spki: spkiOf(pair.publicKey), keyKind: 'P-384' }), true)
  const flipped = Uint8Array.from(der)
  flipped[flipped.length - 1] = (flipped.at(-1) as number) ^ 1
  const other = parseRevocationList(flipped)
  assert.equal(await isSignedBy(other, { spki: spkiOf(pair.publicKey), keyKind: 'P-384' }), false)
})

test('AMD certificates parse in both PSS forms and verify', WITH_VECTORS, async () => {
  const ark = parseCertificate(vector('roots/amd-ark-milan.der'))
  const ask = parseCertificate(vector('roots/amd-ask-milan.der'))
  assert.equal(await isSignedBy(ark, ark), true)
  assert.equal(await isSignedBy(ask, ark), true)
  assert.deepEqual(crlUris(ask), ['https://kdsintf.amd.com/vcek/v1/Milan/crl'])
  for (const path of ['snp/milan-v2-azure/vcek.der', 'snp/milan-vcek-2024/vcek.der'])
    assert.equal(await isSignedBy(parseCertificate(vector(path)), ask), true)
  const invalid = parseCertificate(vector('snp/vcek-invalid-legacy.der'))
  assert.equal(await isSignedBy(invalid, ask), false)
})

test(
  'certificates: each truncation and each byte changed is a FormatError or a value',
  WITH_VECTORS,
  () => {
    const der = vector('snp/genoa-v5/vcek.der')
    const list = vector('roots/intel-root-ca-crl-2025-06.der')
    for (const [input, parse] of [
      [der, parseCertificate],
      [list, parseRevocationList],
    ] as const) {
      for (let length = 0; length < input.length; length++)
        assert.throws(() => parse(input.subarray(0, length)), FormatError)
      for (let offset = 0; offset < input.length; offset++)
        for (const value of [0, 1, 0x7f, 0x80, 0xff]) {
          const changed = Uint8Array.from(input)
          changed[offset] = value
          try {
            parse(changed)
          } catch (error) {
            assert.ok(error instanceof FormatError, String(error))
          }
        }
    }
  },
)

test('parsePem() refuses a block that does not end or ends with another label', () => {
  for (const text of [
    '-----BEGIN CERTIFICATE',
    '-----BEGIN CERTIFICATE-----\nAAAA\n',
    '-----BEGIN CERTIFICATE-----\nAAAA\n-----END X509 CRL-----\n',
    '-----BEGIN CERTIFICATE-----\nAA*A\n-----END CERTIFICATE-----\n',
    // Both marks share their hyphens.
    '-----BEGIN CERTIFICATE-----END CERTIFICATE-----',
  ])
    assert.throws(() => parsePem(text), FormatError)
  assert.deepEqual(parsePem('nothing here'), [])
})
