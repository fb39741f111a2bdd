/** EAR tokens: compact JWS with the signer's key and certificates in the header, as CoCo's attestation service writes them. */
import { runtimeCrypto } from '#crypto'
import { fromBase64Url, toBase64, toBase64Url } from '../bytes/base64.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toUtf8 } from '../bytes/text.ts'
import { parseJson, parseSignedJson } from '../formats/json-text.ts'
import { jwkFromP256 } from '../formats/jwk.ts'
import { toDer } from '../formats/pem.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import { readEarClaims } from './claims.ts'
import type { EarClaims } from './claims.ts'
import { trustedTokenKey } from './token-signer.ts'
import type { JsonObject } from './token-signer.ts'

const MAX_TOKEN = 1_048_576

export interface EarSigner {
  /** SubjectPublicKeyInfo of a P-256 key. */
  readonly spki: Uint8Array
  /** The signer's certificate first, then its issuers; DER. */
  readonly certificates: readonly Uint8Array[]
  /** r ‖ s over the bytes, ECDSA P-256 with SHA-256. */
  sign(data: Uint8Array): Uint8Array | Promise<Uint8Array>
}

/** Claims as a signed token. @throws FormatError when the claims or the key have the wrong shape */
export async function makeEarToken(claims: EarClaims, signer: EarSigner): Promise<string> {
  const x5c = signer.certificates.map(toBase64)
  const jwk = { alg: 'ES256', ...jwkFromP256(signer.spki), ...(x5c.length > 0 ? { x5c } : {}) }
  const header = { typ: 'JWT', alg: 'ES256', jwk }
  const signed = `${part(header)}.${part(readEarClaims(claims))}`
  return `${signed}.${toBase64Url(await signer.sign(toUtf8(signed)))}`
}

export type EarFailure =
  | 'ear.malformed'
  | 'ear.signer-untrusted'
  | 'ear.signature-invalid'
  | 'ear.not-yet-valid'
  | 'ear.expired'

export type EarVerification =
  | { readonly valid: true; readonly claims: EarClaims }
  | { readonly valid: false; readonly code: EarFailure }

export interface EarVerifyOptions {
  /** Certificates of signers, or of their authorities; DER or PEM. An empty list trusts nobody. */
  readonly trustedCertificates: readonly Uint8Array[]
  readonly now: Date
  /** Seconds by which clocks may differ; 60 when absent. */
  readonly leewaySeconds?: number
}

/**
 * Checks a token from outside.
 *
 * @throws FormatError when a trusted certificate is malformed: a mistake of the caller
 */
export async function verifyEarToken(
  token: string,
  options: EarVerifyOptions,
): Promise<EarVerification> {
  const anchors = toDer(options.trustedCertificates).map(parseCertificate)
  try {
    const { head, body, signature } = split(token)
    const header = object('header', parseJson('EAR token', fromBase64Url(head)))
    const jwk = object('jwk', header['jwk'])
    const key = await trustedTokenKey(jwk, anchors, options.now)
    if (key === undefined || header['alg'] !== jwk['alg']) return refuse('ear.signer-untrusted')
    if (!(await runtimeCrypto.verify(key, toUtf8(`${head}.${body}`), fromBase64Url(signature))))
      return refuse('ear.signature-invalid')
    // Read only now: what nobody signed costs no memory.
    return judgeTime(readEarClaims(payloadOf(body)), options)
  } catch (error) {
    if (error instanceof FormatError) return refuse('ear.malformed')
    throw error
  }
}

/** Reads a token without checking it: for showing, never for deciding. @throws FormatError */
export function readUnverifiedEarToken(token: string): EarClaims {
  return readEarClaims(payloadOf(split(token).body))
}

function judgeTime(claims: EarClaims, options: EarVerifyOptions): EarVerification {
  const leeway = options.leewaySeconds ?? 60
  const seconds = options.now.getTime() / 1000
  const notBefore = Math.max(claims.iat, Number(claims['nbf'] ?? 0))
  if (seconds + leeway < notBefore) return refuse('ear.not-yet-valid')
  if (claims.exp === undefined || seconds - leeway >= claims.exp) return refuse('ear.expired')
  return { valid: true, claims }
}

/** Each in base64url. */
interface Parts {
  readonly head: string
  readonly body: string
  readonly signature: string
}

function split(token: string): Parts {
  if (token.length > MAX_TOKEN) throw new FormatError('EAR token', 'length', 0, 'too long')
  const [head = '', body = '', signature = '', ...more] = token.split('.', 4)
  if (more.length > 0) throw new FormatError('EAR token', 'parts', 0, 'more than three')
  return { head, body, signature }
}

function payloadOf(body: string): unknown {
  return parseSignedJson('EAR token', fromBase64Url(body), 'payload')
}

function object(field: string, value: unknown): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new FormatError('EAR token', field, 0, 'not an object')
  return value as JsonObject
}

function part(value: unknown): string {
  return toBase64Url(toUtf8(JSON.stringify(value)))
}

function refuse(code: EarFailure): EarVerification {
  return { valid: false, code }
}
