/** An enclave's claims in a form that JSON carries without loss: bytes in hex. */
import { toHex } from '../bytes/hex.ts'
import type { NitroDocument } from './document.ts'

export interface NitroClaims {
  readonly tee: 'nitro'
  readonly moduleId: string
  /** ISO 8601. */
  readonly time: string
  /** By index. */
  readonly pcrs: Readonly<Record<string, string>>
  readonly publicKey: string | null
  readonly userData: string | null
  readonly nonce: string | null
}

export function nitroClaims(document: NitroDocument): NitroClaims {
  const optional = (bytes: Uint8Array | undefined) => (bytes === undefined ? null : toHex(bytes))
  return {
    tee: 'nitro',
    moduleId: document.moduleId,
    time: document.time.toISOString(),
    pcrs: Object.fromEntries([...document.pcrs].map(([index, value]) => [index, toHex(value)])),
    publicKey: optional(document.publicKey),
    userData: optional(document.userData),
    nonce: optional(document.nonce),
  }
}
