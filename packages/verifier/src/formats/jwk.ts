/** Public keys as JWK (RFC 7517, RFC 7518): P-256 and RSA, to and from SubjectPublicKeyInfo. */
import { fromBase64Url, toBase64Url } from '../bytes/base64.ts'
import { concatBytes } from '../bytes/concat.ts'
import { FormatError } from '../bytes/format-error.ts'
import { fromHex } from '../bytes/hex.ts'
import { derBitString, derInteger, derNull, derOid, derSequence } from './der-writer.ts'
import { OID } from './x509-algorithm.ts'

/** SubjectPublicKeyInfo of P-256 up to x. */
export const P256_SPKI_HEAD = fromHex('3059301306072a8648ce3d020106082a8648ce3d03010703420004')

export interface EcJwk {
  readonly kty: 'EC'
  readonly crv: 'P-256'
  readonly x: string
  readonly y: string
}

/** @param spki - of a P-256 key, uncompressed. @throws FormatError */
export function jwkFromP256(spki: Uint8Array): EcJwk {
  const head = P256_SPKI_HEAD
  if (spki.length !== head.length + 64 || !head.every((byte, index) => spki[index] === byte))
    throw new FormatError('P-256 key', 'spki', 0, 'not an uncompressed P-256 key')
  const point = spki.subarray(head.length)
  return {
    kty: 'EC',
    crv: 'P-256',
    x: toBase64Url(point.subarray(0, 32)),
    y: toBase64Url(point.subarray(32)),
  }
}

/** SubjectPublicKeyInfo in DER of an EC P-256 or RSA JWK. @throws FormatError */
export function spkiFromJwk(jwk: Readonly<Record<string, unknown>>): Uint8Array<ArrayBuffer> {
  switch (jwk['kty']) {
    case 'EC': {
      if (jwk['crv'] !== 'P-256') throw new FormatError('JWK', 'crv', 0, 'not P-256')
      return concatBytes(P256_SPKI_HEAD, coordinate(jwk, 'x'), coordinate(jwk, 'y'))
    }
    case 'RSA': {
      const algorithm = derSequence(derOid(OID.rsaEncryption), derNull())
      const key = derSequence(derInteger(member(jwk, 'n')), derInteger(member(jwk, 'e')))
      return derSequence(algorithm, derBitString(key))
    }
    default:
      throw new FormatError('JWK', 'kty', 0, 'neither EC nor RSA')
  }
}

function coordinate(jwk: Readonly<Record<string, unknown>>, name: string): Uint8Array {
  const bytes = member(jwk, name)
  if (bytes.length !== 32) throw new FormatError('JWK', name, 0, `${bytes.length} bytes, wanted 32`)
  return bytes
}

function member(jwk: Readonly<Record<string, unknown>>, name: string): Uint8Array {
  const value = jwk[name]
  if (typeof value !== 'string' || value === '' || value.length > 2048)
    throw new FormatError('JWK', name, 0, 'not a short text')
  return fromBase64Url(value)
}
