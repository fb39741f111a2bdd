/** A {@link Signer} over a private key that Node holds. Node only. */
import { constants, createPublicKey, sign } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { Signer, SignerAlgorithm } from '../formats/x509-issue.ts'

/**
 * @param key - private, of P-256, P-384 or RSA; the algorithm follows from it
 * @throws TypeError for any other key
 */
export function keySigner(key: KeyObject): Signer {
  const algorithm = algorithmOf(key)
  if (algorithm === 'rsa-pss-sha384') {
    const options = { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 48 }
    return { algorithm, sign: (data) => sign('sha384', data, options) }
  }
  const hash = algorithm === 'ecdsa-p256-sha256' ? 'sha256' : 'sha384'
  return { algorithm, sign: (data) => sign(hash, data, { key, dsaEncoding: 'ieee-p1363' }) }
}

/** SubjectPublicKeyInfo in DER of a public or private key. */
export function spkiOf(key: KeyObject): Uint8Array {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key
  return publicKey.export({ format: 'der', type: 'spki' })
}

function algorithmOf(key: KeyObject): SignerAlgorithm {
  if (key.type !== 'private') throw new TypeError('a signer needs a private key')
  if (key.asymmetricKeyType === 'rsa') return 'rsa-pss-sha384'
  const curve = key.asymmetricKeyDetails?.namedCurve
  if (curve === 'prime256v1') return 'ecdsa-p256-sha256'
  if (curve === 'secp384r1') return 'ecdsa-p384-sha384'
  throw new TypeError('a signer needs a P-256, P-384 or RSA key')
}
