/**
 * Node's native, synchronous cryptography: two to three times as fast as WebCrypto for one signature. Keys are passed in the forms for
 * which Node neither throws nor catches inside: an options object around a key costs 20 to 30 us a call, half a P-256 check
 * (`bench/tdx-appraise.ts`).
 */
import { Buffer } from 'node:buffer'
import { constants, createHmac, createPublicKey, hash, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { equalsRange } from '../bytes/equal.ts'
import { fromHex } from '../bytes/hex.ts'
import { PSS_SALT_BYTES, SCALAR_BYTES, SCHEMES } from './crypto.ts'
import { MAX_HEADS, ecdsaIntoDer } from './ecdsa-der.ts'
import type { DigestAlgorithm, PublicKey, RuntimeCrypto, SignatureScheme } from './crypto.ts'

const DIGESTS: Readonly<Record<DigestAlgorithm, string>> = {
  'SHA-1': 'sha1',
  'SHA-256': 'sha256',
  'SHA-384': 'sha384',
  'SHA-512': 'sha512',
}
/** SubjectPublicKeyInfo up to and with the mark of an uncompressed point; WebCrypto takes no other form everywhere. */
const EC_HEADS = {
  'P-256': fromHex('3059301306072a8648ce3d020106082a8648ce3d03010703420004'),
  'P-384': fromHex('3076301006072a8648ce3d020106052b8104002203620004'),
  'P-521': fromHex('30819b301006072a8648ce3d020106052b810400230381860004'),
} as const
/** AlgorithmIdentifier of rsaEncryption (RFC 3279 section 2.3.1). */
const RSA_ALGORITHM = fromHex('300d06092a864886f70d0101010500')

/** A signature in DER until the check that follows at once: memory outside of the heap, made anew for each, is dear. */
const scratch = new Uint8Array(2 * SCALAR_BYTES['P-521'] + MAX_HEADS)

export const runtimeCrypto: RuntimeCrypto = {
  digest(algorithm: DigestAlgorithm, data: Uint8Array): Uint8Array {
    return hash(DIGESTS[algorithm], data, 'buffer')
  },

  hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array {
    return createHmac('sha256', key).update(data).digest()
  },

  hmacSha512(key: Uint8Array, data: Uint8Array): Uint8Array {
    return createHmac('sha512', key).update(data).digest()
  },

  importPublicKey(spki: Uint8Array, scheme: SignatureScheme): PublicKey | undefined {
    if (!isKeyFor(spki, scheme)) return undefined
    let key: KeyObject
    try {
      key = createPublicKey(pemOf(spki))
    } catch {
      return undefined
    }
    const { kind, hash } = SCHEMES[scheme]
    // `verify` reads these from whatever it is given as the key; without them it would check another padding, and refuse.
    if (kind === 'rsa-pss')
      Object.assign(key, {
        padding: constants.RSA_PKCS1_PSS_PADDING,
        saltLength: PSS_SALT_BYTES[hash],
      })
    return { scheme, native: key }
  },

  verify(key: PublicKey, data: Uint8Array, signature: Uint8Array): boolean {
    const { curve, hash } = SCHEMES[key.scheme]
    const native = key.native as KeyObject
    if (curve === undefined) return verify(hash, data, native, signature)
    return (
      signature.length === 2 * SCALAR_BYTES[curve] &&
      verify(hash, data, native, ecdsaIntoDer(signature, scratch))
    )
  },

  // OpenSSL encodes what it read once more and compares: another form of the same numbers is refused.
  verifyDer(key: PublicKey, data: Uint8Array, signature: Uint8Array): boolean {
    return verify(SCHEMES[key.scheme].hash, data, key.native as KeyObject, signature)
  },
}

function pemOf(spki: Uint8Array): string {
  const base64 = Buffer.from(spki.buffer, spki.byteOffset, spki.length).toString('base64')
  return `-----BEGIN PUBLIC KEY-----\n${base64}\n-----END PUBLIC KEY-----\n`
}

/** Told from the bytes: asking the key object costs as much as half a signature check. */
function isKeyFor(spki: Uint8Array, scheme: SignatureScheme): boolean {
  const { curve } = SCHEMES[scheme]
  if (curve === undefined) return startsAt(spki, headerLength(spki), RSA_ALGORITHM)
  const head = EC_HEADS[curve]
  return spki.length === head.length + 2 * SCALAR_BYTES[curve] && startsAt(spki, 0, head)
}

/** Of the outer SEQUENCE, whose length has its short form or says how many bytes it takes. */
function headerLength([, form = 0]: Uint8Array): number {
  return form < 0x80 ? 2 : 2 + (form - 0x80)
}

function startsAt(bytes: Uint8Array, start: number, wanted: Uint8Array): boolean {
  return equalsRange(bytes, start, start + wanted.length, wanted)
}
