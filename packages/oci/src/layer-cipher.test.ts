import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { test } from 'node:test'
import { isCode } from '@cloister/protocol/testing'
import { sha256Digest } from './digest.ts'
import { decryptLayer, encryptLayer } from './layer-cipher.ts'

const KEY = { key: randomBytes(32), nonce: randomBytes(16) }
const PLAIN = randomBytes(3000)

async function encrypted() {
  let mac: Buffer = Buffer.alloc(0)
  const ciphertext = await buffer(
    encryptLayer(inChunks(PLAIN), KEY, (made) => {
      mac = made
    }),
  )
  return { ciphertext, mac }
}

async function* inChunks(bytes: Uint8Array) {
  for (let offset = 0; offset < bytes.length; offset += 700) yield bytes.slice(offset, offset + 700)
}

/** Chunks are valid only until the next is asked for. */
async function decrypted(ciphertext: Uint8Array, mac: Buffer, plain: Uint8Array): Promise<Buffer> {
  const chunks: Buffer[] = []
  const key = { ...KEY, mac, plainDigest: sha256Digest(plain) }
  for await (const chunk of decryptLayer(inChunks(ciphertext), key)) chunks.push(Buffer.from(chunk))
  return Buffer.concat(chunks)
}

test('what was encrypted decrypts', async () => {
  const { ciphertext, mac } = await encrypted()
  assert.deepEqual(await decrypted(ciphertext, mac, PLAIN), PLAIN)
})

test('the MAC alone refuses a flipped bit, and so does the digest of the plain layer', async () => {
  const { ciphertext, mac } = await encrypted()
  const flipped = Buffer.from(ciphertext)
  flipped[1500]! ^= 1
  const plain = Buffer.from(PLAIN)
  plain[1500]! ^= 1
  const refused = isCode('image.decryption-failed')
  await assert.rejects(decrypted(flipped, mac, plain), refused)
  await assert.rejects(decrypted(ciphertext, mac, plain), refused)
})
