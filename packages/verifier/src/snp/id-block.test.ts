import assert from 'node:assert/strict'
import { createHash, createPublicKey, generateKeyPairSync, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { test } from 'node:test'
import { keySigner, spkiOf } from '../node/key-signer.ts'
import { encodeIdAuth, encodeIdBlock, idKeyDigest } from './id-block.ts'
import type { IdKey } from './id-block.ts'
import { signatureToP1363 } from './report-signature.ts'

const BLOCK = {
  launchDigest: new Uint8Array(48).fill(1),
  familyId: new Uint8Array(16).fill(2),
  imageId: new Uint8Array(16).fill(3),
  guestSvn: 0x0403_0201,
  policy: 0x3_0000n,
}

function newKey(): IdKey & { readonly publicKey: KeyObject } {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const point = spkiOf(privateKey).subarray(-96)
  return { point, signer: keySigner(privateKey), publicKey: createPublicKey(privateKey) }
}

/** Whether the 144 bytes at `at` sign the data. */
function signs(auth: Uint8Array, at: number, data: Uint8Array, key: KeyObject): boolean {
  const [r, s] = [auth.subarray(at, at + 72), auth.subarray(at + 72, at + 144)]
  const signature = signatureToP1363({ r, s })
  assert.ok(signature !== undefined)
  return verify('sha384', data, { key, dsaEncoding: 'ieee-p1363' }, signature)
}

test('an ID block has the fields of SNP_LAUNCH_FINISH at their places', () => {
  const block = Buffer.from(encodeIdBlock(BLOCK))
  const hex = ['01'.repeat(48), '02'.repeat(16), '03'.repeat(16), '01000000', '01020304']
  assert.equal(block.toString('hex'), `${hex.join('')}0000030000000000`)
  const plain = Buffer.from(
    encodeIdBlock({ launchDigest: BLOCK.launchDigest, guestSvn: 0, policy: 0n }),
  )
  assert.equal(plain.toString('hex', 48, 80), '00'.repeat(32))
  assert.throws(() => encodeIdBlock({ ...BLOCK, launchDigest: new Uint8Array(32) }))
})

test('the ID key signs the block, the author key signs the ID key', async () => {
  const block = encodeIdBlock(BLOCK)
  const [id, author] = [newKey(), newKey()]
  const auth = encodeIdAuth(block, id, author)
  assert.equal(auth.length, 4096)
  assert.deepEqual([...auth.subarray(0, 8)], [1, 0, 0, 0, 1, 0, 0, 0])
  assert.ok(signs(auth, 0x40, block, id.publicKey))
  const key = auth.subarray(0x240, 0x240 + 1028)
  assert.deepEqual([...key.subarray(0, 4)], [2, 0, 0, 0])
  assert.deepEqual(key.slice(4, 52).reverse(), Uint8Array.from(id.point.subarray(0, 48)))
  assert.deepEqual(key.slice(76, 124).reverse(), Uint8Array.from(id.point.subarray(48)))
  assert.ok(signs(auth, 0x680, key, author.publicKey))
  const digest = createHash('sha384').update(key).digest('hex')
  assert.equal(Buffer.from(await idKeyDigest(id.point)).toString('hex'), digest)
  const alone = encodeIdAuth(block, id)
  assert.deepEqual([...alone.subarray(4, 8)], [0, 0, 0, 0])
  assert.ok(alone.subarray(0x680).every((byte) => byte === 0))
})
