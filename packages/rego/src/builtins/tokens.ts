/** `io.jwt.*`: JWS compact tokens. The algorithm comes from the call or the constraints, never from the token alone. */
import type { CryptoProvider, PublicKey, SignatureAlgorithm } from '../crypto.ts'
import { decodeBase64, encodeHex, fromUtf8, utf8 } from '../encoding/base64.ts'
import { parseJson } from '../json.ts'
import { compareNumbers, multiply } from '../number.ts'
import { isArray, RegoObject, type Value } from '../value.ts'
import { parseCertificate, pemBodies } from '../x509/certificate.ts'
import { providerOf } from './crypto.ts'
import * as operand from './operands.ts'
import { BuiltinError, type Builtin, type BuiltinContext } from './registry.ts'

interface Token {
  readonly header: RegoObject
  readonly payload: RegoObject
  readonly signed: Uint8Array
  readonly signature: Uint8Array
}

const FORM = { url: true, padding: 'optional' } as const

function parseToken(text: string): Token {
  const parts = text.split('.')
  const [header, payload, signature] = parts.map((part) => decodeBase64(part, FORM))
  if (
    parts.length !== 3 ||
    header === undefined ||
    payload === undefined ||
    signature === undefined
  )
    throw new BuiltinError('encoded JWT must have 3 sections of base64url')
  return {
    header: objectIn(header),
    payload: objectIn(payload),
    signed: utf8(text.slice(0, text.lastIndexOf('.'))),
    signature,
  }
}

function objectIn(bytes: Uint8Array): RegoObject {
  const value = parseJson(fromUtf8(bytes))
  if (value instanceof RegoObject) return value
  throw new BuiltinError('JWT section is not a JSON object')
}

/** Keys in PEM (certificate or public key), a JWK or a set of them. */
function publicKeys(
  text: string,
): { key: PublicKey; kid: Value | undefined; alg: Value | undefined }[] {
  if (text.includes('-----BEGIN CERTIFICATE-----'))
    return pemBodies(text).map((der) => plainKey(parseCertificate(der).spki))
  if (text.includes('-----BEGIN PUBLIC KEY-----'))
    return pemBodies(text, 'PUBLIC KEY').map(plainKey)
  const parsed = parseJson(text)
  if (!(parsed instanceof RegoObject)) throw new BuiltinError('failed to parse the key')
  const set = parsed.get('keys')
  const keys =
    set !== undefined && typeof set === 'object' && set !== null && isArray(set) ? set : [parsed]
  return keys.map((jwk) => {
    if (!(jwk instanceof RegoObject)) throw new BuiltinError('failed to parse a JWK')
    const members = Array.from(jwk.entries()).flatMap(([name, value]) =>
      typeof name === 'string' && typeof value === 'string' ? [[name, value] as const] : [],
    )
    return {
      key: { kind: 'jwk', jwk: Object.fromEntries(members) },
      kid: jwk.get('kid'),
      alg: jwk.get('alg'),
    }
  })
}

function plainKey(der: Uint8Array): { key: PublicKey; kid: undefined; alg: undefined } {
  return { key: { kind: 'spki', der }, kid: undefined, alg: undefined }
}

/** Whether any key that may have signed the token did. A key id in both token and key must agree. */
function verifyPublic(
  token: Token,
  keyText: string,
  algorithm: SignatureAlgorithm,
  crypto: CryptoProvider,
): boolean {
  const kid = token.header.get('kid')
  return publicKeys(keyText).some(({ key, kid: other, alg }) => {
    if (kid !== undefined && other !== undefined && kid !== other) return false
    if (alg !== undefined && alg !== algorithm) return false
    try {
      return crypto.verify(algorithm, key, token.signed, token.signature)
    } catch {
      // A key that the provider cannot use has signed nothing.
      return false
    }
  })
}

function verifySecret(
  token: Token,
  secret: string,
  size: 256 | 384 | 512,
  crypto: CryptoProvider,
): boolean {
  const expected = crypto.hmac(`sha${size}`, utf8(secret), token.signed)
  if (expected.length !== token.signature.length) return false
  let difference = 0
  for (let at = 0; at < expected.length; at++)
    difference |= (expected[at] as number) ^ (token.signature[at] as number)
  return difference === 0
}

const PUBLIC = /^(?:(?:RS|PS|ES)(?:256|384|512)|EdDSA)$/
const SECRET = /^HS(256|384|512)$/

function verifyWith(token: Token, key: string, algorithm: string, crypto: CryptoProvider): boolean {
  const secret = SECRET.exec(algorithm)
  if (secret !== null) return verifySecret(token, key, Number(secret[1]) as 256 | 384 | 512, crypto)
  return PUBLIC.test(algorithm) && verifyPublic(token, key, algorithm as SignatureAlgorithm, crypto)
}

function verifyBuiltin(algorithm: string): Builtin {
  return {
    arity: 2,
    call: (args, context) => {
      const token = parseToken(operand.string(args, 0))
      context.step(1000)
      return verifyWith(token, operand.string(args, 1), algorithm, providerOf(context))
    },
  }
}

function decode(args: readonly Value[]): Value {
  const { header, payload, signature } = parseToken(operand.string(args, 0))
  return [header, payload, encodeHex(signature)]
}

const CONSTRAINTS = new Set<Value>(['cert', 'secret', 'alg', 'iss', 'time', 'aud'])
const REFUSED: Value = [false, RegoObject.empty, RegoObject.empty]

/** Signature and claims at once; unknown constraints are an error, so that a typing mistake checks nothing away. */
function decodeVerify(args: readonly Value[], context: BuiltinContext): Value {
  const constraints = operand.object(args, 1)
  for (const name of constraints.keys())
    if (!CONSTRAINTS.has(name)) throw new BuiltinError('unknown constraint')
  const [key, ...others] = ['cert', 'secret'].flatMap((name) => constraints.get(name) ?? [])
  if (typeof key !== 'string' || others.length > 0)
    throw new BuiltinError('exactly one of cert and secret is needed')
  const token = parseToken(operand.string(args, 0))
  const algorithm = token.header.get('alg')
  if (typeof algorithm !== 'string' || token.header.has('crit')) return REFUSED
  const wanted = constraints.get('alg')
  if (wanted !== undefined && wanted !== algorithm) return REFUSED
  // A secret must never be taken for a certificate, nor the reverse.
  if (SECRET.test(algorithm) !== constraints.has('secret')) return REFUSED
  context.step(1000)
  if (!verifyWith(token, key, algorithm, providerOf(context))) return REFUSED
  return claimsHold(token.payload, constraints, context)
    ? [true, token.header, token.payload]
    : REFUSED
}

function claimsHold(
  payload: RegoObject,
  constraints: RegoObject,
  context: BuiltinContext,
): boolean {
  const issuer = constraints.get('iss')
  if (issuer !== undefined && payload.get('iss') !== issuer) return false
  return (
    audienceHolds(payload.get('aud'), constraints.get('aud')) &&
    timesHold(payload, constraints, context)
  )
}

/** A token for an audience needs a verifier that says it is that audience. */
function audienceHolds(given: Value | undefined, wanted: Value | undefined): boolean {
  if (given === undefined) return wanted === undefined
  if (wanted === undefined) return false
  return (
    given === wanted ||
    (typeof given === 'object' && given !== null && isArray(given) && given.includes(wanted))
  )
}

function timesHold(payload: RegoObject, constraints: RegoObject, context: BuiltinContext): boolean {
  const given = constraints.get('time')
  const now = typeof given === 'number' || typeof given === 'bigint' ? given : context.nowNs
  const order = (claim: Value | undefined): number | undefined => {
    if (typeof claim !== 'number' && typeof claim !== 'bigint') return undefined
    return compareNumbers(multiply(claim, 1_000_000_000) ?? 0, now)
  }
  const [expiry, notBefore] = [payload.get('exp'), payload.get('nbf')]
  if (expiry !== undefined && (order(expiry) ?? -1) <= 0) return false
  return notBefore === undefined || (order(notBefore) ?? 1) <= 0
}

const ALGORITHMS = ['RS', 'PS', 'ES', 'HS'].flatMap((family) =>
  [256, 384, 512].map((size) => `${family}${size}`),
)

export const TOKENS: Readonly<Record<string, Builtin>> = {
  'io.jwt.decode': { arity: 1, call: decode },
  'io.jwt.decode_verify': { arity: 2, call: decodeVerify },
  'io.jwt.verify_eddsa': verifyBuiltin('EdDSA'),
  ...Object.fromEntries(
    ALGORITHMS.map((name) => [`io.jwt.verify_${name.toLowerCase()}`, verifyBuiltin(name)]),
  ),
}
