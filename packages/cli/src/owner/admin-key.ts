/** The owner's Ed25519 key, which signs every call to the broker's owner side. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Directories } from '@cloister/protocol/directories'
import { ADMIN_ROLE } from '@cloister/protocol/broker-admin-api'
import { CloisterError } from '@cloister/protocol/error'
import { createFileSync } from '@cloister/protocol/replace-file'
import { pkcs8Pem } from './pkcs8-pem.ts'

/** Far below the bound of five minutes: a token is made for one call. */
const TOKEN_SECONDS = 60

/** The key in `owner/admin.pem`, made with mode 0600 when there is none. @throws CloisterError `owner.key-unreadable` */
export function openAdminKey({ owner }: Pick<Directories, 'owner'>): KeyObject {
  const file = join(owner, 'admin.pem')
  try {
    return createPrivateKey(readFileSync(file))
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT')
      throw new CloisterError('owner.key-unreadable', { where: file, cause })
  }
  const { privateKey } = generateKeyPairSync('ed25519')
  mkdirSync(owner, { recursive: true, mode: 0o700 })
  return createPrivateKey(createFileSync(file, pkcs8Pem(privateKey)))
}

/** The public half as SPKI PEM: what a broker is started with. */
export function adminPublicKey(key: KeyObject): string {
  return createPublicKey(key).export({ type: 'spki', format: 'pem' }) as string
}

/** A bearer token for one call to the broker at `url`. */
export async function adminToken(key: KeyObject, url: string): Promise<string> {
  const { SignJWT } = await import('jose/jwt/sign')
  return await new SignJWT({ role: ADMIN_ROLE })
    .setProtectedHeader({ alg: 'EdDSA' })
    .setIssuedAt()
    .setAudience(url)
    .setExpirationTime(`${TOKEN_SECONDS}s`)
    .sign(key)
}
