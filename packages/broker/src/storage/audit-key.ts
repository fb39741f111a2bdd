/** The Ed25519 key that signs the audit's checkpoints, made at the first start. The log's name follows from it, so that no two logs share one. */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { CloisterError } from '@cloister/protocol/error'
import { replaceFileSync } from '@cloister/protocol/replace-file'

export interface AuditKey {
  readonly origin: string
  readonly key: KeyObject
}

/** @throws CloisterError `broker.storage` when the file is not such a key */
export function loadAuditKey(file: string): AuditKey {
  try {
    if (!existsSync(file)) replaceFileSync(file, newKeyPem())
    const key = createPrivateKey(readFileSync(file))
    if (key.asymmetricKeyType !== 'ed25519') throw new TypeError('it is no Ed25519 key')
    const spki = createPublicKey(key).export({ format: 'der', type: 'spki' })
    const digest = createHash('sha256').update(spki).digest('hex')
    return { key, origin: `cloister-broker/audit/${digest.slice(0, 16)}` }
  } catch (cause) {
    throw new CloisterError('broker.storage', { where: file, cause })
  }
}

function newKeyPem(): string {
  const { privateKey } = generateKeyPairSync('ed25519')
  return privateKey.export({ format: 'pem', type: 'pkcs8' }) as string
}
