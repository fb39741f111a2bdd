/**
 * Secrets at rest: each version has its own data encryption key (DEK), wrapped by the broker's key encryption key
 * (KEK). Path and version are authenticated with both, so that ciphertexts cannot be exchanged within the database.
 */
import { createSecretKey, randomBytes, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { CloisterError } from '@cloister/protocol/error'
import { replaceFileSync } from '@cloister/protocol/replace-file'
import { open, seal } from './seal.ts'

const KEY_BYTES = 32

export interface SealedSecret {
  /** iv, ciphertext of the DEK, tag */
  readonly wrappedKey: Uint8Array
  /** iv, ciphertext, tag */
  readonly ciphertext: Uint8Array
}

export interface SecretName {
  readonly path: string
  readonly version: number
}

/**
 * Reads the KEK, or makes it when the file is absent and `mayCreate`.
 *
 * @param file - 32 bytes, mode 0600
 * @param mayCreate - false when the database holds secrets already: a new key could not open them
 * @throws CloisterError `broker.storage` when it is missing or not 32 bytes
 */
export function loadKek(file: string, mayCreate: boolean): KeyObject {
  const found = readOptional(file)
  if (found !== undefined) {
    if (found.length === KEY_BYTES) return createSecretKey(found)
    throw new CloisterError('broker.storage', {
      where: file,
      expected: `${KEY_BYTES} bytes`,
      received: `${found.length} bytes`,
    })
  }
  if (!mayCreate)
    throw new CloisterError('broker.storage', {
      where: file,
      why: 'the key is missing, and the secrets in the database cannot be opened without it',
    })
  const kek = randomBytes(KEY_BYTES)
  replaceFileSync(file, kek)
  return createSecretKey(kek)
}

export function sealSecret(kek: KeyObject, name: SecretName, value: Uint8Array): SealedSecret {
  const dek = randomBytes(KEY_BYTES)
  try {
    return {
      wrappedKey: seal(kek, additionalData('dek', name), dek),
      ciphertext: seal(createSecretKey(dek), additionalData('value', name), value),
    }
  } finally {
    dek.fill(0)
  }
}

/** @throws CloisterError `broker.storage` when the KEK is another or the row was changed */
export function openSecret(kek: KeyObject, name: SecretName, sealed: SealedSecret): Buffer {
  try {
    const dek = open(kek, additionalData('dek', name), sealed.wrappedKey)
    try {
      return open(createSecretKey(dek), additionalData('value', name), sealed.ciphertext)
    } finally {
      dek.fill(0)
    }
  } catch (cause) {
    throw new CloisterError('broker.storage', {
      why: 'a stored secret does not open with the key of this broker',
      where: name.path,
      cause,
    })
  }
}

function additionalData(role: 'dek' | 'value', { path, version }: SecretName): Buffer {
  return Buffer.from(JSON.stringify(['cloister/broker/secret/1', role, path, version]))
}

function readOptional(file: string): Buffer | undefined {
  try {
    return readFileSync(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new CloisterError('broker.storage', { where: file, cause: error })
  }
}
