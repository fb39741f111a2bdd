/**
 * The two messages of every handshake, read by hand: they take and drop what `KbsRequestSchema` and `KbsAttestationSchema` do (held against them in the tests), in a tenth of
 * the time.
 */
import type { KbsAttestation, KbsRequest, TeePublicKey } from '@cloister/protocol/kbs'

/** Of what JSON gave. @returns undefined when it is not of the message's shape */
export type ReadMessage<Value> = (message: unknown) => Value | undefined

export function readKbsRequest(message: unknown): KbsRequest | undefined {
  const object = objectOf(message)
  const { version, tee, 'extra-params': extraParams } = object ?? {}
  if (!isText(version, 32) || !isText(tee, 32) || extraParams === undefined) return undefined
  return { version, tee, 'extra-params': extraParams }
}

export function readKbsAttestation(message: unknown): KbsAttestation | undefined {
  const object = objectOf(message)
  const initdata = readInitdata(object?.['init-data'])
  const runtimeData = objectOf(object?.['runtime-data'])
  const evidence = objectOf(object?.['tee-evidence'])
  const key = readKey(runtimeData?.['tee-pubkey'])
  const nonce = runtimeData?.['nonce']
  const { primary_evidence, additional_evidence = '' } = evidence ?? {}
  if (initdata === undefined || evidence === undefined || key === undefined) return undefined
  if (!isText(nonce, 8192) || !isText(additional_evidence, Infinity)) return undefined
  if (!Object.hasOwn(evidence, 'primary_evidence')) return undefined
  return {
    'init-data': initdata ?? undefined,
    'runtime-data': { nonce, 'tee-pubkey': key },
    'tee-evidence': { primary_evidence, additional_evidence },
  }
}

/** Null when there is none. */
function readInitdata(value: unknown): KbsAttestation['init-data'] | null {
  if (value === undefined || value === null) return null
  const { format, body } = objectOf(value) ?? {}
  return isText(format, 16) && isText(body, Infinity) ? { format, body } : undefined
}

const COORDINATE = { 'P-256': /^[A-Za-z0-9_-]{43}$/, 'P-521': /^[A-Za-z0-9_-]{88}$/ } as const
const MODULUS = /^[A-Za-z0-9_-]{342,1366}$/
const EXPONENT = /^[A-Za-z0-9_-]{1,8}$/

function readKey(value: unknown): TeePublicKey | undefined {
  const { kty, crv, alg, x, y, n, e } = objectOf(value) ?? {}
  if (kty === 'EC' && alg === 'ECDH-ES+A256KW' && (crv === 'P-256' || crv === 'P-521'))
    return matches(x, COORDINATE[crv]) && matches(y, COORDINATE[crv])
      ? { kty, crv, alg, x, y }
      : undefined
  if (kty === 'RSA' && alg === 'RSA-OAEP-256')
    return matches(n, MODULUS) && matches(e, EXPONENT) ? { kty, alg, n, e } : undefined
  return undefined
}

function objectOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : undefined
}

function isText(value: unknown, atMost: number): value is string {
  return typeof value === 'string' && value.length <= atMost
}

function matches(value: unknown, pattern: RegExp): value is string {
  return typeof value === 'string' && pattern.test(value)
}
