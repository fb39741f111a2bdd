import type { KeyObject } from 'node:crypto'

/** A private key as text, unencrypted. */
export function pkcs8Pem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }) as string
}
