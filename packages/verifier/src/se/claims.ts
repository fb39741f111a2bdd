/** A guest's claims in a form that JSON carries without loss: bytes in hex. */
import { toHex } from '../bytes/hex.ts'
import type { SeEvidence } from './evidence.ts'

export interface SeClaims {
  readonly tee: 'se'
  readonly cuid: string
  readonly userData: string
  readonly pld: string
  readonly ald: string
  readonly tld: string
  readonly tag: string
  /** Null when the request did not ask for both of them. */
  readonly imagePhkh: string | null
  readonly attestationPhkh: string | null
}

const PHKH_BYTES = 32

/** The two host key hashes, where the request asked for both. */
export function hostKeyHashes({ additionalData }: SeEvidence): {
  readonly imagePhkh: Uint8Array | undefined
  readonly attestationPhkh: Uint8Array | undefined
} {
  if (additionalData.length < 2 * PHKH_BYTES)
    return { imagePhkh: undefined, attestationPhkh: undefined }
  return {
    imagePhkh: additionalData.subarray(0, PHKH_BYTES),
    attestationPhkh: additionalData.subarray(PHKH_BYTES, 2 * PHKH_BYTES),
  }
}

export function seClaims(evidence: SeEvidence): SeClaims {
  const { cuid, userData, imageHeaderTags } = evidence
  const { imagePhkh, attestationPhkh } = hostKeyHashes(evidence)
  const part = (start: number, end: number) => toHex(imageHeaderTags.subarray(start, end))
  const optional = (bytes: Uint8Array | undefined) => (bytes === undefined ? null : toHex(bytes))
  return {
    tee: 'se',
    cuid: toHex(cuid),
    userData: toHex(userData),
    pld: part(0, 64),
    ald: part(64, 128),
    tld: part(128, 192),
    tag: part(192, 208),
    imagePhkh: optional(imagePhkh),
    attestationPhkh: optional(attestationPhkh),
  }
}
