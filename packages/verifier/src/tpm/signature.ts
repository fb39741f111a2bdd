/** TPMT_SIGNATURE (TPM 2.0 Library, part 2, 11.3.4), and its check. Hashes below SHA-256 are none to this code. */
import { runtimeCrypto } from '#crypto'
import { concatBytes } from '../bytes/concat.ts'
import { ByteReader } from '../bytes/reader.ts'
import type { SignatureScheme } from '../crypto/crypto.ts'
import type { KeyKind } from '../formats/x509-algorithm.ts'
import { hashById } from './algorithms.ts'
import type { HashName } from './algorithms.ts'
import { sized, withSize, word } from './attest.ts'

const FORMAT = 'TPM signature'
const RSASSA = 0x0014
const RSAPSS = 0x0016
const ECDSA = 0x0018

export interface TpmSignature {
  readonly algorithm: 'rsassa' | 'rsapss' | 'ecdsa'
  readonly hash: Extract<HashName, 'sha256' | 'sha384' | 'sha512'>
  /** The signature, or r and s of ECDSA without leading zeros being certain. */
  readonly parts: readonly Uint8Array[]
}

/** @throws FormatError; `field` is `sigAlg` or `hash` for an algorithm that is not accepted */
export function parseTpmSignature(bytes: Uint8Array): TpmSignature {
  const reader = new ByteReader(FORMAT, bytes)
  const id = reader.u16be('header')
  const algorithm =
    id === RSASSA ? 'rsassa' : id === RSAPSS ? 'rsapss' : id === ECDSA ? 'ecdsa' : undefined
  if (algorithm === undefined) return reader.fail('sigAlg', 0, `0x${id.toString(16)}`)
  const hashId = reader.u16be('header')
  const hash = hashById(hashId)?.name
  if (hash !== 'sha256' && hash !== 'sha384' && hash !== 'sha512')
    return reader.fail('hash', 2, `0x${hashId.toString(16)}, wanted SHA-256 or better`)
  const parts =
    algorithm === 'ecdsa' ? [sized(reader, 'r'), sized(reader, 's')] : [sized(reader, 'sig')]
  reader.end()
  return { algorithm, hash, parts }
}

/** The signature's bytes again. */
export function encodeTpmSignature({ algorithm, hash, parts }: TpmSignature): Uint8Array {
  const id = { rsassa: RSASSA, rsapss: RSAPSS, ecdsa: ECDSA }[algorithm]
  const hashId = { sha256: 0x000b, sha384: 0x000c, sha512: 0x000d }[hash]
  return concatBytes(word(2, id), word(2, hashId), ...parts.map(withSize))
}

/** False also when key and algorithm do not fit. */
export async function isSignedByAk(
  message: Uint8Array,
  signature: TpmSignature,
  ak: { readonly spki: Uint8Array; readonly keyKind: KeyKind },
): Promise<boolean> {
  const scheme = schemeOf(signature, ak.keyKind)
  const raw = rawSignature(signature, ak.keyKind)
  if (scheme === undefined || raw === undefined) return false
  const key = await runtimeCrypto.importPublicKey(ak.spki, scheme)
  return key !== undefined && (await runtimeCrypto.verify(key, message, raw))
}

function schemeOf({ algorithm, hash }: TpmSignature, kind: KeyKind): SignatureScheme | undefined {
  if (algorithm === 'rsassa') return kind === 'RSA' ? `rsa-pkcs1-${hash}` : undefined
  if (algorithm === 'rsapss') return kind === 'RSA' ? `rsa-pss-${hash}` : undefined
  if (hash === 'sha512') return undefined
  if (kind === 'P-256') return `ecdsa-p256-${hash}`
  return kind === 'P-384' ? `ecdsa-p384-${hash}` : undefined
}

function rawSignature({ algorithm, parts }: TpmSignature, kind: KeyKind): Uint8Array | undefined {
  const [first, second] = parts
  if (algorithm !== 'ecdsa') return first
  const size = kind === 'P-384' ? 48 : 32
  const r = first && leftPad(first, size)
  const s = second && leftPad(second, size)
  return r && s && concatBytes(r, s)
}

/** TPMs may leave out leading zeros. */
export function leftPad(bytes: Uint8Array, size: number): Uint8Array | undefined {
  if (bytes.length > size) return undefined
  return concatBytes(new Uint8Array(size - bytes.length), bytes)
}
