import assert from 'node:assert/strict'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { test } from 'node:test'
import { decryptJwe, encryptJwe } from './jwe.ts'
import { TeePublicKeySchema, type TeePublicKey } from './kbs.ts'

const plaintext = Buffer.from('canary of a secret')

function ec(crv: 'P-256' | 'P-521'): { recipient: TeePublicKey; key: KeyObject } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: crv })
  const { x, y } = publicKey.export({ format: 'jwk' })
  const recipient = TeePublicKeySchema.parse({ kty: 'EC', crv, alg: 'ECDH-ES+A256KW', x, y })
  return { recipient, key: privateKey }
}

function rsa(): { recipient: TeePublicKey; key: KeyObject } {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const { n, e } = publicKey.export({ format: 'jwk' })
  const recipient = TeePublicKeySchema.parse({ kty: 'RSA', alg: 'RSA-OAEP-256', n, e })
  return { recipient, key: privateKey }
}

test('decryptJwe() opens what encryptJwe() made, for each kind of key', () => {
  for (const { recipient, key } of [ec('P-256'), ec('P-521'), rsa()])
    assert.deepEqual(decryptJwe(encryptJwe(plaintext, recipient), key), plaintext)
})

test('encryptJwe() writes the protected header in the order that clients authenticate', () => {
  const text = (recipient: TeePublicKey) =>
    Buffer.from(encryptJwe(plaintext, recipient).protected, 'base64url').toString()
  assert.match(
    text(ec('P-256').recipient),
    /^\{"alg":"ECDH-ES\+A256KW","enc":"A256GCM","epk":\{"crv":"P-256","kty":"EC","x":"[\w-]{43}","y":"[\w-]{43}"\}\}$/,
  )
  assert.match(
    text(ec('P-521').recipient),
    /"crv":"P-521","kty":"EC","x":"[\w-]{88}","y":"[\w-]{88}"/,
  )
  assert.equal(text(rsa().recipient), '{"alg":"RSA-OAEP-256","enc":"A256GCM"}')
})

test('decryptJwe() refuses another key, another curve and every changed member', () => {
  const { recipient, key } = ec('P-256')
  const jwe = encryptJwe(plaintext, recipient)
  const refused = { code: 'jwe.malformed' }
  for (const other of [ec('P-256').key, ec('P-521').key, rsa().key])
    assert.throws(() => decryptJwe(jwe, other), refused)
  for (const member of ['protected', 'encrypted_key', 'iv', 'ciphertext', 'tag'] as const) {
    const bytes = Buffer.from(jwe[member], 'base64url')
    bytes[bytes.length - 2] = (bytes.at(-2) ?? 0) ^ 1
    assert.throws(() => decryptJwe({ ...jwe, [member]: bytes.toString('base64url') }, key), refused)
    assert.throws(() => decryptJwe({ ...jwe, [member]: '' }, key), refused)
  }
  for (const junk of [null, 1, 'x', {}, [], { ...jwe, tag: 5 }])
    assert.throws(() => decryptJwe(junk, key), refused)
})

test('encryptJwe() refuses a key that is not on its curve', () => {
  const { recipient } = ec('P-256')
  const off = TeePublicKeySchema.parse({ ...recipient, y: 'A'.repeat(43) })
  assert.throws(() => encryptJwe(plaintext, off), { code: 'jwe.malformed' })
})
