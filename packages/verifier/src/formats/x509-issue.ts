/**
 * Makes X.509 certificates and revocation lists: for the simulated secure processor, for the broker's and the agent's TLS
 * keys and for tests. Pure; the caller's {@link Signer} holds the key.
 */
import { ecdsaToDer } from '../crypto/ecdsa-der.ts'
import { derBitString, derExplicit, derInteger, derNull, derOctetString } from './der-writer.ts'
import { derBoolean, derOid, derSequence, derTime } from './der-writer.ts'
import { OID } from './x509-algorithm.ts'
import type { Extension } from './x509-certificate.ts'
import { encodeName } from './x509-name.ts'
import type { NameAttribute } from './x509-name.ts'

export type SignerAlgorithm = 'ecdsa-p256-sha256' | 'ecdsa-p384-sha384' | 'rsa-pss-sha384'

export interface Signer {
  readonly algorithm: SignerAlgorithm
  /** Synchronous. ECDSA gives r ‖ s of fixed size (IEEE P1363), RSA-PSS the signature as is (salt 48). */
  sign(data: Uint8Array): Uint8Array
}

export interface CertificateTemplate {
  /** Non-negative; as a number or as unsigned big-endian bytes. */
  readonly serial: number | bigint | Uint8Array
  readonly issuer: readonly NameAttribute[]
  readonly subject: readonly NameAttribute[]
  readonly notBefore: Date
  readonly notAfter: Date
  /** SubjectPublicKeyInfo in DER. */
  readonly spki: Uint8Array
  readonly extensions?: readonly Extension[]
}

export interface RevocationListTemplate {
  readonly issuer: readonly NameAttribute[]
  readonly thisUpdate: Date
  readonly nextUpdate: Date
  readonly revoked: readonly {
    readonly serial: number | bigint | Uint8Array
    readonly time: Date
  }[]
  readonly extensions?: readonly Extension[]
}

/** A v3 certificate in DER, signed by the issuer's key. */
export function issueCertificate(
  template: CertificateTemplate,
  issuer: Signer,
): Uint8Array<ArrayBuffer> {
  const extensions = template.extensions ?? []
  const tbs = derSequence(
    derExplicit(0, derInteger(2)),
    derInteger(template.serial),
    algorithmIdentifier(issuer.algorithm),
    encodeName(template.issuer),
    derSequence(derTime(template.notBefore), derTime(template.notAfter)),
    encodeName(template.subject),
    template.spki,
    ...(extensions.length === 0 ? [] : [derExplicit(3, encodeExtensions(extensions))]),
  )
  return signed(tbs, issuer)
}

/** A v2 revocation list in DER, signed by the issuer's key. */
export function issueRevocationList(
  template: RevocationListTemplate,
  issuer: Signer,
): Uint8Array<ArrayBuffer> {
  const extensions = template.extensions ?? []
  const entries = template.revoked.map(({ serial, time }) =>
    derSequence(derInteger(serial), derTime(time)),
  )
  const tbs = derSequence(
    derInteger(1),
    algorithmIdentifier(issuer.algorithm),
    encodeName(template.issuer),
    derTime(template.thisUpdate),
    derTime(template.nextUpdate),
    ...(entries.length === 0 ? [] : [derSequence(...entries)]),
    ...(extensions.length === 0 ? [] : [derExplicit(0, encodeExtensions(extensions))]),
  )
  return signed(tbs, issuer)
}

function signed(tbs: Uint8Array, issuer: Signer): Uint8Array<ArrayBuffer> {
  const raw = issuer.sign(tbs)
  const signature = issuer.algorithm === 'rsa-pss-sha384' ? raw : ecdsaToDer(raw)
  return derSequence(tbs, algorithmIdentifier(issuer.algorithm), derBitString(signature))
}

function encodeExtensions(extensions: readonly Extension[]): Uint8Array {
  const encoded = extensions.map(({ oid, critical, value }) =>
    derSequence(derOid(oid), ...(critical ? [derBoolean(true)] : []), derOctetString(value)),
  )
  return derSequence(...encoded)
}

function algorithmIdentifier(algorithm: SignerAlgorithm): Uint8Array {
  switch (algorithm) {
    case 'ecdsa-p256-sha256':
      return derSequence(derOid(OID.ecdsaSha256))
    case 'ecdsa-p384-sha384':
      return derSequence(derOid(OID.ecdsaSha384))
    case 'rsa-pss-sha384': {
      const sha384 = derSequence(derOid(OID.sha384), derNull())
      const parameters = derSequence(
        derExplicit(0, sha384),
        derExplicit(1, derSequence(derOid(OID.mgf1), sha384)),
        derExplicit(2, derInteger(48)),
      )
      return derSequence(derOid(OID.rsaPss), parameters)
    }
    default:
      return algorithm satisfies never
  }
}
