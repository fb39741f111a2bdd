import assert from 'node:assert/strict'
import { generateKeyPairSync, sign, verify } from 'node:crypto'
import { test } from 'node:test'
import { ecdsaToP1363 } from '../formats/ecdsa-signature.ts'
import { MAX_HEADS, ecdsaIntoDer, ecdsaToDer } from './ecdsa-der.ts'

for (const [namedCurve, size] of [
  ['P-256', 32],
  ['P-384', 48],
  ['P-521', 66],
] as const)
  test(`ecdsaToDer() writes what OpenSSL verifies, ${namedCurve}`, () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve })
    const data = new Uint8Array(9)
    for (let round = 0; round < 20; round++) {
      const signature = sign('sha256', data, { key: privateKey, dsaEncoding: 'ieee-p1363' })
      const der = ecdsaToDer(signature)
      assert.ok(verify('sha256', data, publicKey, der))
      assert.deepEqual(ecdsaToP1363(der, size), new Uint8Array(signature))
    }
  })

test('ecdsaToDer() writes short, zero and high integers minimally', () => {
  const signature = new Uint8Array(64)
  signature[31] = 0x80
  assert.deepEqual([...ecdsaToDer(signature)], [0x30, 7, 2, 2, 0, 0x80, 2, 1, 0])
})

test('ecdsaIntoDer() leaves nothing of what its memory held before', () => {
  const signature = new Uint8Array(64).fill(0xff)
  const used = new Uint8Array(signature.length + MAX_HEADS).fill(0xaa)
  assert.deepEqual([...ecdsaIntoDer(signature, used)], [...ecdsaToDer(signature)])
})
