/** COSE_Sign1 (RFC 9052 section 4.2) with an attached payload and an algorithm of RFC 9053 section 2.1. */
import { FormatError } from '../bytes/format-error.ts'
import type { SignatureScheme } from '../crypto/crypto.ts'
import { cborArray, cborBytes, cborInt, cborMap, cborText, encodeCbor } from './cbor-item.ts'
import type { CborItem, CborMap } from './cbor-item.ts'
import { parseCbor } from './cbor-reader.ts'

export const COSE_SIGN1_TAG = 18

const SIGNATURE1 = cborText('Signature1')
const NOTHING = cborBytes(new Uint8Array())
const HEADER = { algorithm: 1, critical: 2 } as const

/** ECDSA by its COSE algorithm number, as the curve that our formats use with it. */
export const COSE_SCHEMES: ReadonlyMap<number, SignatureScheme> = new Map([
  [-7, 'ecdsa-p256-sha256'],
  [-35, 'ecdsa-p384-sha384'],
  [-36, 'ecdsa-p521-sha512'],
])

export interface CoseSign1 {
  /** Whether tag 18 stood before it. */
  readonly tagged: boolean
  /** The protected header as it is signed. */
  readonly protectedBytes: Uint8Array
  readonly algorithm: number
  readonly unprotected: CborMap
  readonly payload: Uint8Array
  readonly signature: Uint8Array
}

/**
 * Reads one signed message that fills the input. A header that says something critical is refused.
 *
 * @throws FormatError
 */
export function parseCoseSign1(bytes: Uint8Array): CoseSign1 {
  return readCoseSign1(parseCbor('COSE_Sign1', bytes))
}

/** @throws FormatError */
export function readCoseSign1(item: CborItem): CoseSign1 {
  const tagged = item.kind === 'tag' && item.tag === COSE_SIGN1_TAG
  const array = tagged ? item.item : item
  if (array.kind !== 'array' || array.items.length !== 4 || array.indefinite)
    return fail('array', 'not an array of four')
  const [header, unprotected, payload, signature] = array.items
  if (header?.kind !== 'bytes') return fail('protected', 'not a byte string')
  if (unprotected?.kind !== 'map' || unprotected.indefinite)
    return fail('unprotected', 'not a map of definite length')
  if (payload?.kind !== 'bytes') return fail('payload', 'not a byte string')
  if (signature?.kind !== 'bytes') return fail('signature', 'not a byte string')
  return {
    tagged,
    protectedBytes: header.value,
    algorithm: readAlgorithm(header.value),
    unprotected: unprotected.entries,
    payload: payload.value,
    signature: signature.value,
  }
}

/** What the signature covers: `Sig_structure` of RFC 9052 section 4.4, without external data. */
export function coseSignedBytes({
  protectedBytes,
  payload,
}: Pick<CoseSign1, 'protectedBytes' | 'payload'>): Uint8Array<ArrayBuffer> {
  return encodeCbor(cborArray(SIGNATURE1, cborBytes(protectedBytes), NOTHING, cborBytes(payload)))
}

/** The same bytes from which it was read. */
export function encodeCoseSign1(message: CoseSign1): Uint8Array<ArrayBuffer> {
  const array = cborArray(
    cborBytes(message.protectedBytes),
    cborMap(message.unprotected),
    cborBytes(message.payload),
    cborBytes(message.signature),
  )
  return encodeCbor(message.tagged ? { kind: 'tag', tag: COSE_SIGN1_TAG, item: array } : array)
}

/** A protected header that names the algorithm alone. */
export function coseHeader(algorithm: number): Uint8Array<ArrayBuffer> {
  return encodeCbor(cborMap([[HEADER.algorithm, cborInt(algorithm)]]))
}

function readAlgorithm(header: Uint8Array): number {
  const item = parseCbor('COSE protected header', header)
  if (item.kind !== 'map') return fail('protected', 'not a map')
  if (item.entries.has(HEADER.critical)) fail('protected', 'critical parameters')
  const algorithm = item.entries.get(HEADER.algorithm)
  if (algorithm?.kind !== 'int' || typeof algorithm.value !== 'number')
    return fail('algorithm', 'is missing or no number')
  return algorithm.value
}

function fail(field: string, problem: string): never {
  throw new FormatError('COSE_Sign1', field, 0, problem)
}
