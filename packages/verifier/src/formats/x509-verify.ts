/** Whether one certificate or list was signed by a key: the signature alone, no dates, no names. */
import { runtimeCrypto } from '#crypto'
import { FormatError } from '../bytes/format-error.ts'
import { SCHEMES } from '../crypto/crypto.ts'
import { ecdsaToP1363 } from './ecdsa-signature.ts'
import { schemeFor } from './x509-algorithm.ts'
import type { KeyKind, SignatureAlgorithm } from './x509-algorithm.ts'

/** A signed structure of X.509: a certificate or a revocation list. */
export interface Signed {
  readonly tbs: Uint8Array
  readonly signatureAlgorithm: SignatureAlgorithm
  readonly signature: Uint8Array
}

/** The key that should have signed: a certificate's, for instance. */
export interface IssuerKey {
  readonly spki: Uint8Array
  readonly keyKind: KeyKind
}

const COORDINATE_BYTES = { 'P-256': 32, 'P-384': 48, 'P-521': 66 } as const

/** False for a wrong signature, and also when algorithm and key do not fit or the key is unusable. */
export async function isSignedBy(signed: Signed, issuer: IssuerKey): Promise<boolean> {
  const scheme = schemeFor(signed.signatureAlgorithm, issuer.keyKind)
  if (scheme === undefined) return false
  const key = await runtimeCrypto.importPublicKey(issuer.spki, scheme)
  if (key === undefined) return false
  const { curve } = SCHEMES[scheme]
  try {
    const signature =
      curve === undefined
        ? signed.signature
        : ecdsaToP1363(signed.signature, COORDINATE_BYTES[curve])
    return await runtimeCrypto.verify(key, signed.tbs, signature)
  } catch (error) {
    if (error instanceof FormatError) return false
    throw error
  }
}
