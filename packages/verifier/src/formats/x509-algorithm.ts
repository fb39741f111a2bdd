/** Signature algorithms of X.509 (RFC 5280, RFC 4055, RFC 5758) as the schemes our crypto interface knows. */
import type { SignatureScheme } from '../crypto/crypto.ts'
import { equalBytes } from '../bytes/equal.ts'
import { TAG, contextTag } from './der-reader.ts'
import type { DerReader } from './der-reader.ts'

export const OID = {
  ecPublicKey: '1.2.840.10045.2.1',
  p256: '1.2.840.10045.3.1.7',
  p384: '1.3.132.0.34',
  p521: '1.3.132.0.35',
  rsaEncryption: '1.2.840.113549.1.1.1',
  rsaPss: '1.2.840.113549.1.1.10',
  mgf1: '1.2.840.113549.1.1.8',
  sha256: '2.16.840.1.101.3.4.2.1',
  sha384: '2.16.840.1.101.3.4.2.2',
  sha512: '2.16.840.1.101.3.4.2.3',
  ecdsaSha256: '1.2.840.10045.4.3.2',
  ecdsaSha384: '1.2.840.10045.4.3.3',
  ecdsaSha512: '1.2.840.10045.4.3.4',
} as const

type Hash = 'sha256' | 'sha384' | 'sha512'

/** What a certificate says about its signature. For ECDSA the curve is the issuer's, so only the hash stands here. */
export type SignatureAlgorithm =
  | { readonly kind: 'ecdsa'; readonly hash: Hash }
  | { readonly kind: 'rsa-pss'; readonly hash: Hash }
  | { readonly kind: 'rsa-pkcs1'; readonly hash: Hash | 'sha1' }
  | { readonly kind: 'unknown'; readonly oid: string }

export type KeyKind = 'P-256' | 'P-384' | 'P-521' | 'RSA' | 'unknown'

const SIMPLE: Readonly<Record<string, SignatureAlgorithm>> = {
  [OID.ecdsaSha256]: { kind: 'ecdsa', hash: 'sha256' },
  [OID.ecdsaSha384]: { kind: 'ecdsa', hash: 'sha384' },
  [OID.ecdsaSha512]: { kind: 'ecdsa', hash: 'sha512' },
  '1.2.840.113549.1.1.5': { kind: 'rsa-pkcs1', hash: 'sha1' },
  '1.2.840.113549.1.1.11': { kind: 'rsa-pkcs1', hash: 'sha256' },
  '1.2.840.113549.1.1.12': { kind: 'rsa-pkcs1', hash: 'sha384' },
  '1.2.840.113549.1.1.13': { kind: 'rsa-pkcs1', hash: 'sha512' },
}

const PSS_HASHES: Readonly<Record<string, { hash: Hash; salt: number }>> = {
  [OID.sha256]: { hash: 'sha256', salt: 32 },
  [OID.sha384]: { hash: 'sha384', salt: 48 },
  [OID.sha512]: { hash: 'sha512', salt: 64 },
}

/** Reads an AlgorithmIdentifier; `field` is its place for error messages. */
export function readSignatureAlgorithm(outer: DerReader, field: string): SignatureAlgorithm {
  const reader = outer.sequence(field)
  const oid = reader.oid(field)
  if (oid === OID.rsaPss) return readPss(reader, field)
  const known = SIMPLE[oid]
  if (known === undefined) return { kind: 'unknown', oid }
  readNull(reader, field)
  return known
}

/**
 * RSASSA-PSS-params: the hash, MGF1 over the same hash, a salt of the hash's size, and a trailer field that may be left
 * out or written as its default 1 (AMD's certificates come in both forms).
 */
function readPss(outer: DerReader, field: string): SignatureAlgorithm {
  const reader = outer.sequence(field)
  outer.end()
  const hashOid = readHash(explicit(reader, 0, field), field)
  const mask = explicit(reader, 1, field).sequence(field)
  if (mask.oid(field) !== OID.mgf1) reader.fail(field, 'mask generation function is not MGF1')
  const maskHash = readHash(mask, field)
  const salt = explicit(reader, 2, field).smallInteger(field)
  const trailer = reader.optional(contextTag(3, 'constructed'), field)
  if (trailer !== undefined && reader.open(trailer).smallInteger(field) !== 1)
    reader.fail(field, 'trailer field is not 1')
  reader.end()
  const known = PSS_HASHES[hashOid]
  if (known === undefined || maskHash !== hashOid || salt !== known.salt)
    return { kind: 'unknown', oid: OID.rsaPss }
  return { kind: 'rsa-pss', hash: known.hash }
}

function explicit(reader: DerReader, number: number, field: string): DerReader {
  return reader.enter(contextTag(number, 'constructed'), field)
}

function readHash(outer: DerReader, field: string): string {
  const reader = outer.sequence(field)
  const oid = reader.oid(field)
  readNull(reader, field)
  return oid
}

/** Parameters that are NULL or absent, then nothing. */
function readNull(reader: DerReader, field: string): void {
  const parameters = reader.optional(TAG.null, field)
  if (parameters !== undefined && !equalBytes(parameters.contents, new Uint8Array()))
    reader.fail(field, 'NULL is not empty')
  reader.end()
}

/** The kind of key in a SubjectPublicKeyInfo. */
export function readKeyKind(outer: DerReader): KeyKind {
  const spki = outer.sequence('subjectPublicKeyInfo')
  const algorithm = spki.sequence('subjectPublicKeyInfo.algorithm')
  spki.bitStringBytes('subjectPublicKeyInfo.subjectPublicKey')
  spki.end()
  const oid = algorithm.oid('subjectPublicKeyInfo.algorithm')
  if (oid === OID.rsaEncryption) return 'RSA'
  if (oid !== OID.ecPublicKey || algorithm.peek() !== TAG.oid) return 'unknown'
  switch (algorithm.oid('subjectPublicKeyInfo.curve')) {
    case OID.p256:
      return 'P-256'
    case OID.p384:
      return 'P-384'
    case OID.p521:
      return 'P-521'
    default:
      return 'unknown'
  }
}

/** The scheme to verify with, given the issuer's key; undefined when the two do not fit or are not supported. */
export function schemeFor(
  algorithm: SignatureAlgorithm,
  key: KeyKind,
): SignatureScheme | undefined {
  switch (algorithm.kind) {
    case 'ecdsa':
      return ecdsaScheme(algorithm.hash, key)
    case 'rsa-pss':
      return key === 'RSA' ? `rsa-pss-${algorithm.hash}` : undefined
    case 'rsa-pkcs1':
      return key === 'RSA' ? `rsa-pkcs1-${algorithm.hash}` : undefined
    case 'unknown':
      return undefined
    default:
      return algorithm satisfies never
  }
}

function ecdsaScheme(hash: Hash, key: KeyKind): SignatureScheme | undefined {
  if (key === 'P-256' && hash !== 'sha512') return `ecdsa-p256-${hash}`
  if (key === 'P-384' && hash !== 'sha512') return `ecdsa-p384-${hash}`
  return key === 'P-521' && hash === 'sha512' ? 'ecdsa-p521-sha512' : undefined
}
