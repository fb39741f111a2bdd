/** ocicrypt's AES_256_CTR_HMAC_SHA256: the MAC is over the ciphertext and made with the cipher's own key. */
import { createCipheriv, createDecipheriv, createHmac, timingSafeEqual } from 'node:crypto'
import { CloisterError } from '@cloister/protocol/error'
import { DigestCheck } from './digest.ts'
import { releaseChunk } from './released-memory.ts'
import type { LayerKey } from './ocicrypt.ts'

/**
 * Decrypts while reading. The MAC and the digest of the plain layer are checked at the end: until the generator has returned, what it
 * gave is not authentic and nothing may be kept of it. A chunk is valid only until the next is asked for. Throws `image.decryption-failed`.
 */
export async function* decryptLayer(
  ciphertext: AsyncIterable<Uint8Array>,
  { key, nonce, mac, plainDigest }: LayerKey,
): AsyncGenerator<Uint8Array> {
  const decipher = createDecipheriv('aes-256-ctr', key, nonce)
  const hmac = createHmac('sha256', key)
  const digest = new DigestCheck(plainDigest)
  for await (const chunk of ciphertext) {
    hmac.update(chunk)
    const plain = decipher.update(chunk)
    digest.update(plain)
    yield plain
    releaseChunk(plain)
  }
  if (!timingSafeEqual(hmac.digest(), mac))
    throw new CloisterError('image.decryption-failed', {
      why: 'the MAC of an encrypted layer does not match: it was changed or the key is for another layer',
    })
  digest.verify('decrypted layer', 'image.decryption-failed')
}

/** Encrypts while reading; `finish` is called once with the MAC, after the last chunk. */
export async function* encryptLayer(
  plain: AsyncIterable<Uint8Array>,
  { key, nonce }: Pick<LayerKey, 'key' | 'nonce'>,
  finish: (mac: Buffer) => void,
): AsyncGenerator<Uint8Array> {
  const cipher = createCipheriv('aes-256-ctr', key, nonce)
  const hmac = createHmac('sha256', key)
  for await (const chunk of plain) {
    const encrypted = cipher.update(chunk)
    hmac.update(encrypted)
    yield encrypted
  }
  finish(hmac.digest())
}
