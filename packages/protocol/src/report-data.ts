/**
 * What goes into REPORT_DATA. There are two compositions and no other: the KBS handshake's, which binds the broker's nonce
 * and the key that resources are encrypted to, and the one for `verify` and `attest`, which binds the asker's nonce and the
 * guest's keys. The agent never reports over bytes that others chose (design, rule 1).
 */
import { createHash, hash } from 'node:crypto'
import { canonicalJson } from './jcs.ts'
import type { TeePublicKey } from './kbs.ts'

/** REPORT_DATA of SNP and REPORTDATA of TDX, bytes. */
export const REPORT_DATA_BYTES = 64

const VERIFY_CONTEXT = 'cloister/verify/1'
/** A nonce of an outside verifier, bytes. */
export const VERIFY_NONCE_BYTES = { minimum: 16, maximum: 64 } as const

/** Hashes that a KBS may select; SHA-384 unless it says otherwise. */
export type RuntimeDataHash = 'sha384' | 'sha512'

export interface RuntimeData {
  /** The challenge's nonce, as text. */
  readonly nonce: string
  readonly teePublicKey: TeePublicKey
}

/**
 * REPORT_DATA of the primary TEE in the KBS handshake: the hash over the canonical
 * `{additional-evidence, nonce, tee-pubkey}`, padded with zeros to 64 bytes (KBS protocol 0.4.0).
 *
 * @param runtimeData - the key holds only the members of its schema, since they are hashed
 * @param additionalEvidence - exactly the text that is sent; empty without further devices
 */
export function primaryReportData(
  runtimeData: RuntimeData,
  additionalEvidence: string,
  algorithm: RuntimeDataHash = 'sha384',
): Uint8Array {
  return padded(algorithm, {
    'additional-evidence': additionalEvidence,
    nonce: runtimeData.nonce,
    'tee-pubkey': runtimeData.teePublicKey,
  })
}

/**
 * REPORT_DATA for `verify` and `attest`: SHA-512("cloister/verify/1" || nonce || SHA-256(agent key) || SHA-256(channel key)).
 *
 * @param nonce - 16 to 64 bytes that the asker chose
 * @param agentKey - SPKI, DER
 * @param channelKey - SPKI, DER
 * @returns 64 bytes
 * @throws RangeError for a nonce of another length
 */
export function verifyReportData(
  nonce: Uint8Array,
  agentKey: Uint8Array,
  channelKey: Uint8Array,
): Uint8Array {
  const { minimum, maximum } = VERIFY_NONCE_BYTES
  if (nonce.length < minimum || nonce.length > maximum)
    throw new RangeError(`Cannot compose report data: the nonce has ${nonce.length} bytes`)
  return createHash('sha512')
    .update(VERIFY_CONTEXT)
    .update(nonce)
    .update(createHash('sha256').update(agentKey).digest())
    .update(createHash('sha256').update(channelKey).digest())
    .digest()
}

function padded(
  algorithm: RuntimeDataHash,
  value: Parameters<typeof canonicalJson>[0],
): Uint8Array {
  const reportData = new Uint8Array(REPORT_DATA_BYTES)
  reportData.set(hash(algorithm, canonicalJson(value), 'buffer'))
  return reportData
}
