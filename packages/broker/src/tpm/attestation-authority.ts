/**
 * The broker's own CA of attestation keys. It certifies only what credential activation has shown, for a day; the certificate carries which TPM it was
 * shown for, so that a decision needs nothing but the certificate and what the owner has pinned.
 */
import { createHash, randomBytes } from 'node:crypto'
import { parseCertificate } from '@cloister/verifier/formats/x509-certificate'
import {
  basicConstraintsExtension,
  KEY_USAGE,
  keyUsageExtension,
} from '@cloister/verifier/formats/x509-extensions'
import { issueCertificate } from '@cloister/verifier/formats/x509-issue'
import { keySigner } from '@cloister/verifier/node/key-signer'
import { machineSubject } from '@cloister/verifier/tpm/certified-machine'
import type { Identity } from '../identity.ts'
import type { EndorsementKey } from './endorsement-key.ts'

export const CERTIFICATE_MS = 24 * 3_600_000
/** Clocks of guests may be behind. */
const BACKDATED_MS = 3_600_000

export class AttestationAuthority {
  readonly #identity: Identity
  /** DER. */
  readonly certificate: Uint8Array
  readonly certificatePem: string
  /** SHA-256 of the DER, hex. */
  readonly fingerprint: string

  constructor(identity: Identity) {
    this.#identity = identity
    this.certificate = identity.certificate.raw
    this.certificatePem = identity.certificatePem
    this.fingerprint = createHash('sha256').update(this.certificate).digest('hex')
  }

  /** @param spki - of the attestation key. @returns DER */
  issue(
    spki: Uint8Array,
    { fingerprint, anchor }: Pick<EndorsementKey, 'fingerprint' | 'anchor'>,
    now: number,
  ): Uint8Array {
    const serial = randomBytes(16)
    serial[0] = ((serial[0] as number) & 0x3f) | 0x40
    return issueCertificate(
      {
        serial,
        issuer: parseCertificate(this.certificate).subject.attributes,
        subject: machineSubject({ endorsementKey: fingerprint, anchor }),
        notBefore: new Date(now - BACKDATED_MS),
        notAfter: new Date(now + CERTIFICATE_MS),
        spki,
        extensions: [
          basicConstraintsExtension(false),
          keyUsageExtension(KEY_USAGE.digitalSignature),
        ],
      },
      keySigner(this.#identity.key),
    )
  }
}
