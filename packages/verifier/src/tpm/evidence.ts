/** TPM Evidence: an attestation key, its quotes, and the logs that explain them. */
import type { HashName } from './algorithms.ts'
import type { TpmPublicArea } from './public-area.ts'
import type { TpmSignature } from './signature.ts'

/** Values of PCRs by index, of one bank. Believed only after a quote over them was verified. */
export interface PcrBank {
  readonly hash: HashName
  readonly values: ReadonlyMap<number, Uint8Array>
}

export interface TpmQuote {
  /** TPMS_ATTEST: what was signed. */
  readonly message: Uint8Array
  readonly signature: TpmSignature
  readonly banks: readonly PcrBank[]
}

export interface TpmEvidence {
  /** SubjectPublicKeyInfo of the attestation key, in DER. */
  readonly ak: Uint8Array
  /** Its TPM form, which tells its attributes; absent where the format has none. */
  readonly publicArea?: TpmPublicArea
  /** Its certificate in DER. */
  readonly certificate?: Uint8Array
  readonly intermediates?: readonly Uint8Array[]
  /** Certificate of the TPM's endorsement key in DER: who it says it is. It vouches for the attestation key only through credential activation. */
  readonly endorsementCertificate?: Uint8Array
  /** At least one. */
  readonly quotes: readonly TpmQuote[]
  /** Of the firmware. */
  readonly eventLog?: Uint8Array
  /** Of the container runtime. */
  readonly canonicalLog?: Uint8Array
  /** Bytes that a nonce has in this format; absent where any number may. */
  readonly nonceSize?: number
}

export const PCR_COUNT = 24
