/** The attestation measurement of Secure Execution: HMAC-SHA-512 under a key that only the ultravisor and the verifier know. Big-endian. */
import { runtimeCrypto } from '#crypto'
import { concatBytes } from '../bytes/concat.ts'
import { equalBytes } from '../bytes/equal.ts'
import type { SeEvidence } from './evidence.ts'

/** What is measured. @param nonce - 16 bytes of the request, empty when it had none */
export function measuredBytes(
  evidence: Omit<SeEvidence, 'measurement'>,
  nonce: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const { imageHeaderTags, cuid, userData, additionalData } = evidence
  const lengths = new DataView(new ArrayBuffer(8))
  lengths.setUint16(0, userData.length)
  lengths.setUint32(4, additionalData.length)
  return concatBytes(
    imageHeaderTags,
    cuid,
    new Uint8Array(lengths.buffer),
    userData,
    nonce,
    additionalData,
  )
}

/** Whether the ultravisor that holds the key made the measurement. Constant time. */
export async function isMeasurementOf(
  evidence: SeEvidence,
  key: Uint8Array,
  nonce: Uint8Array,
): Promise<boolean> {
  const expected = await runtimeCrypto.hmacSha512(key, measuredBytes(evidence, nonce))
  return equalBytes(expected, evidence.measurement)
}
