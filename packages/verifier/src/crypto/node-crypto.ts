/** Node's native, synchronous cryptography: two to three times as fast as WebCrypto for one signature. */
import { constants, createHmac, createPublicKey, hash, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { PSS_SALT_BYTES, SCHEMES } from './crypto.ts'
import type { DigestAlgorithm, PublicKey, RuntimeCrypto, SignatureScheme } from './crypto.ts'

const DIGESTS: Readonly<Record<DigestAlgorithm, string>> = {
  'SHA-1': 'sha1',
  'SHA-256': 'sha256',
  'SHA-384': 'sha384',
  'SHA-512': 'sha512',
}
const CURVES: Readonly<Record<string, string>> = {
  prime256v1: 'P-256',
  secp384r1: 'P-384',
  secp521r1: 'P-521',
}

export const runtimeCrypto: RuntimeCrypto = {
  digest(algorithm: DigestAlgorithm, data: Uint8Array): Uint8Array {
    return hash(DIGESTS[algorithm], data, 'buffer')
  },

  hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array {
    return createHmac('sha256', key).update(data).digest()
  },

  importPublicKey(spki: Uint8Array, scheme: SignatureScheme): PublicKey | undefined {
    let key: KeyObject
    try {
      key = createPublicKey({ key: spki as Buffer, format: 'der', type: 'spki' })
    } catch {
      return undefined
    }
    return isKeyFor(key, scheme) ? { scheme, native: key } : undefined
  },

  verify(key: PublicKey, data: Uint8Array, signature: Uint8Array): boolean {
    const { kind, hash } = SCHEMES[key.scheme]
    const native = key.native as KeyObject
    switch (kind) {
      case 'ecdsa':
        return verify(hash, data, { key: native, dsaEncoding: 'ieee-p1363' }, signature)
      case 'rsa-pss': {
        const saltLength = PSS_SALT_BYTES[hash] as number
        const padding = constants.RSA_PKCS1_PSS_PADDING
        return verify(hash, data, { key: native, padding, saltLength }, signature)
      }
      case 'rsa-pkcs1':
        return verify(hash, data, native, signature)
      default:
        return kind satisfies never
    }
  },
}

function isKeyFor(key: KeyObject, scheme: SignatureScheme): boolean {
  const { kind, curve } = SCHEMES[scheme]
  if (kind !== 'ecdsa') return key.asymmetricKeyType === 'rsa'
  return (
    key.asymmetricKeyType === 'ec' && CURVES[key.asymmetricKeyDetails?.namedCurve ?? ''] === curve
  )
}
