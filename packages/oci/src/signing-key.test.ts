import assert from 'node:assert/strict'
import { createPublicKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { test } from 'node:test'
import { parsePublicKey, verifySignature } from './public-key.ts'
import { openSecretbox, sealSecretbox } from './secretbox.ts'
import { generateSigningKey, parseSigningKey } from './signing-key.ts'

const MALFORMED = { code: 'image.signing-key-malformed' }

// The example of "Cryptography in NaCl", section 10: the key of the first exchange, its nonce, the first bytes of the boxed packet.
const NACL = {
  key: '1b27556473e985d462cd51197a9a46c76009549eac6474f206c4ee0844f68389',
  nonce: '69696ee955b62b73cd62bda875fc73d68219e0036b7a0b37',
  message:
    'be075fc53c81f2d5cf141316ebeb0c7b5228c52a4c62cbd44b66849b64244ffce5ecbaaf33bd751a1ac728d45e6c61296cdc3c01233561f41db66cce314adb310e3be8250c46f06dceea3a7fa1348057e2f6556ad6b1318a024a838f21af1fde048977eb48f59ffd4924ca1c60902e52f0a089bc76897040e082f937763848645e0705',
  box: 'f3ffc7703f9400e52a7dfb4b3d3305d98e993b9f48681273c29650ba32fc76ce48332ea7164d96a4476fb8c531a1186ac0dfc17c98dce87b4da7f011ec48c97271d2c20f9b928fe2270d6fb863d51738b48eeee314a7cc8ab932164548e526ae90224368517acfeabd6bb3732bc0e9da99832b61ca01b6de56244a9e88d5f9b37973f622a43d14a6599b1f654cb45a74e355a5',
} as const

test('secretbox agrees with the published example', () => {
  const [key, nonce, message, box] = [NACL.key, NACL.nonce, NACL.message, NACL.box].map((hex) =>
    Buffer.from(hex, 'hex'),
  ) as [Buffer, Buffer, Buffer, Buffer]
  assert.deepEqual(sealSecretbox(message, nonce, key), box)
  assert.deepEqual(openSecretbox(box, nonce, key), message)
  for (const at of [0, 15, 16, box.length - 1]) {
    const changed = Buffer.from(box)
    changed[at]! ^= 1
    assert.equal(openSecretbox(changed, nonce, key), undefined)
  }
  assert.equal(openSecretbox(box.subarray(0, 10), nonce, key), undefined)
})

test('a generated key is read back with its password only', () => {
  const { privateKeyFile, publicPem } = generateSigningKey('correct horse')
  const publicKey = createPublicKey(parseSigningKey(privateKeyFile, 'correct horse'))
  assert.equal(publicKey.export({ type: 'spki', format: 'pem' }), publicPem)
  assert.throws(() => parseSigningKey(privateKeyFile, 'wrong'), MALFORMED)
  assert.throws(() => parseSigningKey(privateKeyFile.slice(0, 200), 'correct horse'), MALFORMED)
  assert.throws(() => parseSigningKey('nothing'), MALFORMED)
})

test('signatures of every supported kind are verified, others refused', () => {
  const message = Buffer.from('payload')
  const pairs: readonly (readonly [
    { publicKey: KeyObject; privateKey: KeyObject },
    string | null,
  ])[] = [
    [generateKeyPairSync('ec', { namedCurve: 'P-256' }), 'sha256'],
    [generateKeyPairSync('ec', { namedCurve: 'P-384' }), 'sha256'],
    [generateKeyPairSync('ec', { namedCurve: 'P-384' }), 'sha384'],
    [generateKeyPairSync('rsa', { modulusLength: 2048 }), 'sha256'],
    [generateKeyPairSync('ed25519'), null],
  ]
  for (const [{ publicKey, privateKey }, hash] of pairs) {
    const key = parsePublicKey(publicKey.export({ type: 'spki', format: 'pem' }).toString())
    const signature = sign(hash, message, privateKey)
    assert.equal(verifySignature(key, message, signature), true)
    assert.equal(verifySignature(key, Buffer.from('other'), signature), false)
    assert.equal(verifySignature(key, message, Buffer.alloc(0)), false)
  }
})

test('a policy key must be a public key of a supported kind and size', () => {
  const pem = (key: KeyObject) => key.export({ type: 'spki', format: 'pem' }).toString()
  const small = generateKeyPairSync('rsa', { modulusLength: 1024 })
  assert.throws(() => parsePublicKey(pem(small.publicKey)), MALFORMED)
  assert.throws(() => parsePublicKey(pem(generateKeyPairSync('x25519').publicKey)), MALFORMED)
  const secp256k1 = generateKeyPairSync('ec', { namedCurve: 'secp256k1' })
  assert.throws(() => parsePublicKey(pem(secp256k1.publicKey)), MALFORMED)
  const privatePem = small.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  assert.throws(() => parsePublicKey(privatePem), MALFORMED)
  assert.throws(() => parsePublicKey(''), MALFORMED)
})
