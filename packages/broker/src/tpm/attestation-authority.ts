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
import { commonName, NAME_OID, nameValues } from '@cloister/verifier/formats/x509-name'
import { keySigner } from '@cloister/verifier/node/key-signer'
import type { Identity } from '../identity.ts'
import type { EndorsementKey } from './endorsement-key.ts'

export const CERTIFICATE_MS = 24 * 3_600_000
/** Clocks of guests may be behind. */
const BACKDATED_MS = 3_600_000

/** Which TPM an attestation key lives in, as its certificate says. */
export interface CertifiedMachine {
  /** SHA-256 of the EK certificate's DER, hex. */
  readonly endorsementKey: string
  /** SHA-256 of the CA's certificate that vouched for it, hex. */
  readonly anchor: string
}

export class AttestationAuthority {
  readonly #identity: Identity
  /** DER. */
  readonly certificate: Uint8Array
  /** SHA-256 of the DER, hex. */
  readonly fingerprint: string

  constructor(identity: Identity) {
    this.#identity = identity
    this.certificate = identity.certificate.raw
    this.fingerprint = createHash('sha256').update(this.certificate).digest('hex')
  }

  /** @param spki - of the attestation key. @returns DER */
  issue(spki: Uint8Array, { fingerprint, anchor }: EndorsementKey, now: number): Uint8Array {
    const serial = randomBytes(16)
    serial[0] = ((serial[0] as number) & 0x3f) | 0x40
    return issueCertificate(
      {
        serial,
        issuer: parseCertificate(this.certificate).subject.attributes,
        subject: [
          { oid: NAME_OID.organizationalUnit, value: anchor },
          { oid: NAME_OID.commonName, value: fingerprint },
        ],
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

/**
 * @param certificate - DER, issued by {@link AttestationAuthority} as its signature has shown
 * @throws TypeError when it is none of ours, which would be a defect
 */
export function readCertifiedMachine(certificate: Uint8Array): CertifiedMachine {
  const { subject } = parseCertificate(certificate)
  const endorsementKey = commonName(subject)
  const [anchor] = nameValues(subject, NAME_OID.organizationalUnit)
  if (endorsementKey === undefined || anchor === undefined)
    throw new TypeError('a certificate of our own names a TPM')
  return { endorsementKey, anchor }
}
