/** Public keys as cosign accepts them: PEM SubjectPublicKeyInfo of ECDSA (P-256, P-384, P-521), RSA or Ed25519. */
import { createHash, createPublicKey, verify, type KeyObject } from 'node:crypto'
import { CloisterError } from '@cloister/protocol/error'

const RSA_BITS = { least: 2048, most: 8192 } as const
/** Cosign hashes with SHA-256 whatever the curve; newer releases with the curve's own. */
const CURVE_HASHES: Readonly<Record<string, readonly string[]>> = {
  prime256v1: ['sha256'],
  secp384r1: ['sha256', 'sha384'],
  secp521r1: ['sha256', 'sha512'],
}

/** Throws `image.signing-key-malformed`. A private key is refused: it has no business in a policy. */
export function parsePublicKey(pem: string): KeyObject {
  if (!/-----BEGIN (RSA )?PUBLIC KEY-----/.test(pem)) throw malformed('it is not a PEM public key')
  let key: KeyObject
  try {
    key = createPublicKey(pem)
  } catch (cause) {
    throw malformed('its PEM cannot be read', cause)
  }
  if (hashesFor(key).length === 0) throw malformed('only ECDSA, RSA and Ed25519 keys are supported')
  return key
}

/** Whether `signature` over `bytes` is by the key. ECDSA signatures are DER, RSA's are PKCS #1 v1.5, as cosign makes them. */
export function verifySignature(key: KeyObject, bytes: Uint8Array, signature: Uint8Array): boolean {
  return hashesFor(key).some((hash) => verify(hash, bytes, key, signature))
}

/** SHA-256 of the SubjectPublicKeyInfo, hex. */
export function keyFingerprint(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex')
}

function hashesFor(key: KeyObject): readonly (string | null)[] {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  if (type === 'ed25519') return [null]
  if (type === 'ec') return CURVE_HASHES[details?.namedCurve ?? ''] ?? []
  const bits = details?.modulusLength ?? 0
  return type === 'rsa' && bits >= RSA_BITS.least && bits <= RSA_BITS.most ? ['sha256'] : []
}

function malformed(why: string, cause?: unknown): CloisterError {
  return new CloisterError('image.signing-key-malformed', { why, cause })
}
