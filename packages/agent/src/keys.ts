/** The guest's keys: made at boot, never stored, never handed out. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { TeePublicKeySchema, type TeePublicKey } from '@cloister/protocol/kbs'

export interface GuestKey {
  readonly privateKey: KeyObject
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array
}

/** P-256, for both uses: the broker encrypts to the agent key, `connect` speaks TLS with the channel key. */
export function makeGuestKey(): GuestKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { privateKey, spki: publicKey.export({ type: 'spki', format: 'der' }) }
}

/** The public half as the KBS protocol writes it. */
export function teePublicKey(key: GuestKey): TeePublicKey {
  const { kty, crv, x, y } = key.privateKey.export({ format: 'jwk' })
  return TeePublicKeySchema.parse({ kty, crv, alg: 'ECDH-ES+A256KW', x, y })
}
