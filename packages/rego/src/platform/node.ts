/** Node's cryptography for the built-ins. */
import {
  constants,
  createHash,
  createHmac,
  createPublicKey,
  randomBytes,
  verify,
  type KeyObject,
  type VerifyKeyObjectInput,
} from 'node:crypto'
import type { CryptoProvider, PublicKey, SignatureAlgorithm } from '../crypto.ts'

function keyOf(key: PublicKey): KeyObject {
  return key.kind === 'jwk'
    ? createPublicKey({ key: { ...key.jwk }, format: 'jwk' })
    : createPublicKey({ key: Buffer.from(key.der), format: 'der', type: 'spki' })
}

const EC_CURVES: Readonly<Record<string, string>> = {
  '256': 'prime256v1',
  '384': 'secp384r1',
  '512': 'secp521r1',
}

/** What `verify` is given; undefined when the key is not of the algorithm's kind, which must never verify. */
function verifyInput(
  algorithm: SignatureAlgorithm,
  key: KeyObject,
): VerifyKeyObjectInput | undefined {
  const type = key.asymmetricKeyType
  if (algorithm === 'EdDSA') return type === 'ed25519' ? { key } : undefined
  const size = algorithm.slice(2)
  switch (algorithm.slice(0, 2)) {
    case 'RS':
      return type === 'rsa' ? { key, padding: constants.RSA_PKCS1_PADDING } : undefined
    case 'PS':
      return type === 'rsa' || type === 'rsa-pss'
        ? {
            key,
            padding: constants.RSA_PKCS1_PSS_PADDING,
            saltLength: constants.RSA_PSS_SALTLEN_AUTO,
          }
        : undefined
    default: {
      const isCurve = key.asymmetricKeyDetails?.namedCurve === EC_CURVES[size]
      return type === 'ec' && isCurve ? { key, dsaEncoding: 'ieee-p1363' } : undefined
    }
  }
}

export const platformCrypto: CryptoProvider | undefined = {
  hash: (name, data) => createHash(name).update(data).digest(),
  hmac: (name, key, data) => createHmac(name, key).update(data).digest(),
  verify: (algorithm, key, data, signature) => {
    const input = verifyInput(algorithm, keyOf(key))
    if (input === undefined) return false
    const hash = algorithm === 'EdDSA' ? null : `sha${algorithm.slice(2)}`
    return verify(hash, data, input, signature)
  },
  verifyDer: (hash, spki, data, signature) =>
    verify(hash ?? null, data, keyOf({ kind: 'spki', der: spki }), signature),
  randomBytes: (length) => randomBytes(length),
}
