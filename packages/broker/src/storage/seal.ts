/** Bytes under a key of the broker: AES-256-GCM with a random iv. */
import { createCipheriv, createDecipheriv, type KeyObject } from 'node:crypto'
import { takeRandom } from '../randomness.ts'

const IV_BYTES = 12
const TAG_BYTES = 16
const ALGORITHM = 'aes-256-gcm'

/** @param aad - what it is for, authenticated with it. @returns iv, ciphertext, tag */
export function seal(key: KeyObject, aad: Buffer, value: Uint8Array): Buffer {
  const iv = takeRandom(IV_BYTES)
  const cipher = createCipheriv(ALGORITHM, key, iv).setAAD(aad)
  return Buffer.concat([iv, cipher.update(value), cipher.final(), cipher.getAuthTag()])
}

/** @throws RangeError, Error when it was not sealed with this key for this */
export function open(key: KeyObject, aad: Buffer, sealed: Uint8Array): Buffer {
  const end = sealed.length - TAG_BYTES
  if (end < IV_BYTES) throw new RangeError('a sealed value is too short')
  const decipher = createDecipheriv(ALGORITHM, key, sealed.subarray(0, IV_BYTES), {
    authTagLength: TAG_BYTES,
  })
  decipher.setAAD(aad).setAuthTag(sealed.subarray(end))
  return Buffer.concat([decipher.update(sealed.subarray(IV_BYTES, end)), decipher.final()])
}
