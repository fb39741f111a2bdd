/**
 * The one small interface between the verifier and the runtime's own cryptography. `#crypto` in package.json picks
 * Node's synchronous implementation or WebCrypto; both give the same answers, so callers `await` and need not know which.
 */
import type { Eventual } from './eventual.ts'

export type DigestAlgorithm = 'SHA-1' | 'SHA-256' | 'SHA-384' | 'SHA-512'

export type SignatureScheme =
  | 'ecdsa-p256-sha256'
  | 'ecdsa-p256-sha384'
  | 'ecdsa-p384-sha256'
  | 'ecdsa-p384-sha384'
  | 'ecdsa-p521-sha512'
  | 'rsa-pss-sha256'
  | 'rsa-pss-sha384'
  | 'rsa-pss-sha512'
  | 'rsa-pkcs1-sha1'
  | 'rsa-pkcs1-sha256'
  | 'rsa-pkcs1-sha384'
  | 'rsa-pkcs1-sha512'

/** A key as the runtime holds it. Opaque: only the module that made it can use it. */
export interface PublicKey {
  readonly scheme: SignatureScheme
  readonly native: unknown
}

export interface RuntimeCrypto {
  digest(algorithm: DigestAlgorithm, data: Uint8Array): Eventual<Uint8Array>
  /** HMAC with SHA-256. */
  hmacSha256(key: Uint8Array, data: Uint8Array): Eventual<Uint8Array>
  /** HMAC with SHA-512. */
  hmacSha512(key: Uint8Array, data: Uint8Array): Eventual<Uint8Array>
  /**
   * @param spki - SubjectPublicKeyInfo in DER
   * @returns undefined when the runtime refuses the key (not on the curve, wrong kind)
   */
  importPublicKey(spki: Uint8Array, scheme: SignatureScheme): Eventual<PublicKey | undefined>
  /** @param signature - r and s, each of the curve's size, for ECDSA (IEEE P1363); as is for RSA */
  verify(key: PublicKey, data: Uint8Array, signature: Uint8Array): Eventual<boolean>
  /**
   * @param signature - `SEQUENCE { r, s }` for ECDSA (RFC 3279 section 2.2.3), as X.509 has it, and false when that is not strict DER; as is for RSA
   */
  verifyDer(key: PublicKey, data: Uint8Array, signature: Uint8Array): Eventual<boolean>
}

/** RFC 4055: the salt is as long as the digest. */
export const PSS_SALT_BYTES: Readonly<Record<string, number>> = {
  sha256: 32,
  sha384: 48,
  sha512: 64,
}

export interface SchemeParts {
  readonly kind: 'ecdsa' | 'rsa-pss' | 'rsa-pkcs1'
  readonly hash: 'sha1' | 'sha256' | 'sha384' | 'sha512'
  readonly curve: 'P-256' | 'P-384' | 'P-521' | undefined
}

export const SCHEMES: Readonly<Record<SignatureScheme, SchemeParts>> = {
  'ecdsa-p256-sha256': { kind: 'ecdsa', hash: 'sha256', curve: 'P-256' },
  'ecdsa-p256-sha384': { kind: 'ecdsa', hash: 'sha384', curve: 'P-256' },
  'ecdsa-p384-sha256': { kind: 'ecdsa', hash: 'sha256', curve: 'P-384' },
  'ecdsa-p384-sha384': { kind: 'ecdsa', hash: 'sha384', curve: 'P-384' },
  'ecdsa-p521-sha512': { kind: 'ecdsa', hash: 'sha512', curve: 'P-521' },
  'rsa-pss-sha256': { kind: 'rsa-pss', hash: 'sha256', curve: undefined },
  'rsa-pss-sha384': { kind: 'rsa-pss', hash: 'sha384', curve: undefined },
  'rsa-pss-sha512': { kind: 'rsa-pss', hash: 'sha512', curve: undefined },
  'rsa-pkcs1-sha1': { kind: 'rsa-pkcs1', hash: 'sha1', curve: undefined },
  'rsa-pkcs1-sha256': { kind: 'rsa-pkcs1', hash: 'sha256', curve: undefined },
  'rsa-pkcs1-sha384': { kind: 'rsa-pkcs1', hash: 'sha384', curve: undefined },
  'rsa-pkcs1-sha512': { kind: 'rsa-pkcs1', hash: 'sha512', curve: undefined },
}

/** Bytes of a coordinate, and of r and of s in a signature. */
export const SCALAR_BYTES = { 'P-256': 32, 'P-384': 48, 'P-521': 66 } as const
