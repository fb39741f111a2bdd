/** WebCrypto, for browsers and edge runtimes. */
import { FormatError } from '../bytes/format-error.ts'
import { ecdsaToP1363 } from '../formats/ecdsa-signature.ts'
import { PSS_SALT_BYTES, SCALAR_BYTES, SCHEMES } from './crypto.ts'
import type { DigestAlgorithm, PublicKey, RuntimeCrypto, SignatureScheme } from './crypto.ts'

const HASH_NAMES = {
  sha1: 'SHA-1',
  sha256: 'SHA-256',
  sha384: 'SHA-384',
  sha512: 'SHA-512',
} as const

export const runtimeCrypto: RuntimeCrypto = {
  async digest(algorithm: DigestAlgorithm, data: Uint8Array): Promise<Uint8Array> {
    return new Uint8Array(await crypto.subtle.digest(algorithm, data as BufferSource))
  },

  async hmacSha256(key: Uint8Array, data: Uint8Array): Promise<Uint8Array> {
    return hmac('SHA-256', key, data)
  },

  async hmacSha512(key: Uint8Array, data: Uint8Array): Promise<Uint8Array> {
    return hmac('SHA-512', key, data)
  },

  async importPublicKey(spki: Uint8Array, scheme: SignatureScheme): Promise<PublicKey | undefined> {
    try {
      const algorithm = importAlgorithm(scheme)
      const usages: KeyUsage[] = ['verify']
      const native = await crypto.subtle.importKey(
        'spki',
        spki as BufferSource,
        algorithm,
        true,
        usages,
      )
      return { scheme, native }
    } catch {
      return undefined
    }
  },

  async verify(key: PublicKey, data: Uint8Array, signature: Uint8Array): Promise<boolean> {
    return crypto.subtle.verify(
      verifyAlgorithm(key.scheme),
      key.native as CryptoKey,
      signature as BufferSource,
      data as BufferSource,
    )
  },

  async verifyDer(key: PublicKey, data: Uint8Array, signature: Uint8Array): Promise<boolean> {
    const { curve } = SCHEMES[key.scheme]
    if (curve === undefined) return runtimeCrypto.verify(key, data, signature)
    try {
      return await runtimeCrypto.verify(key, data, ecdsaToP1363(signature, SCALAR_BYTES[curve]))
    } catch (error) {
      if (error instanceof FormatError) return false
      throw error
    }
  },
}

async function hmac(
  hash: 'SHA-256' | 'SHA-512',
  key: Uint8Array,
  data: Uint8Array,
): Promise<Uint8Array> {
  const algorithm = { name: 'HMAC', hash }
  const native = await crypto.subtle.importKey('raw', key as BufferSource, algorithm, false, [
    'sign',
  ])
  return new Uint8Array(await crypto.subtle.sign('HMAC', native, data as BufferSource))
}

function importAlgorithm(scheme: SignatureScheme): EcKeyImportParams | RsaHashedImportParams {
  const { kind, hash, curve } = SCHEMES[scheme]
  if (curve !== undefined) return { name: 'ECDSA', namedCurve: curve }
  return { name: kind === 'rsa-pss' ? 'RSA-PSS' : 'RSASSA-PKCS1-v1_5', hash: HASH_NAMES[hash] }
}

function verifyAlgorithm(scheme: SignatureScheme): EcdsaParams | RsaPssParams | Algorithm {
  const { kind, hash } = SCHEMES[scheme]
  switch (kind) {
    case 'ecdsa':
      return { name: 'ECDSA', hash: HASH_NAMES[hash] }
    case 'rsa-pss':
      return { name: 'RSA-PSS', saltLength: PSS_SALT_BYTES[hash] as number }
    case 'rsa-pkcs1':
      return { name: 'RSASSA-PKCS1-v1_5' }
    default:
      return kind satisfies never
  }
}
