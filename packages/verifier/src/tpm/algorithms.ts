/** Hashes of TPMs and event logs (TCG Algorithm Registry). */
import { runtimeCrypto } from '#crypto'
import type { DigestAlgorithm } from '../crypto/crypto.ts'
import { sm3 } from '../formats/sm3.ts'

export type HashName = 'sha1' | 'sha256' | 'sha384' | 'sha512' | 'sm3'

export interface TpmHash {
  /** TPM_ALG_ID. */
  readonly id: number
  readonly name: HashName
  /** Bytes of a digest. */
  readonly size: number
}

export const TPM_HASHES: Readonly<Record<HashName, TpmHash>> = {
  sha1: { id: 0x0004, name: 'sha1', size: 20 },
  sha256: { id: 0x000b, name: 'sha256', size: 32 },
  sha384: { id: 0x000c, name: 'sha384', size: 48 },
  sha512: { id: 0x000d, name: 'sha512', size: 64 },
  sm3: { id: 0x0012, name: 'sm3', size: 32 },
}

const NATIVE: Readonly<Record<Exclude<HashName, 'sm3'>, DigestAlgorithm>> = {
  sha1: 'SHA-1',
  sha256: 'SHA-256',
  sha384: 'SHA-384',
  sha512: 'SHA-512',
}

/** Undefined for an identifier that names no hash known here. */
export function hashById(id: number): TpmHash | undefined {
  return Object.values(TPM_HASHES).find((hash) => hash.id === id)
}

export function hashDigest(hash: HashName, data: Uint8Array): Uint8Array | Promise<Uint8Array> {
  return hash === 'sm3' ? sm3(data) : runtimeCrypto.digest(NATIVE[hash], data)
}
