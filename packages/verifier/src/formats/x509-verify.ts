/** Whether one certificate or list was signed by a key: the signature alone, no dates, no names. */
import { runtimeCrypto } from '#crypto'
import { FormatError } from '../bytes/format-error.ts'
import { SCALAR_BYTES, SCHEMES } from '../crypto/crypto.ts'
import type { PublicKey, SignatureScheme } from '../crypto/crypto.ts'
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

/** An import costs as much as a third of a P-256 check, and one issuer signs certificates, lists and statements. */
const imported = new WeakMap<IssuerKey, PublicKey>()

/** The key of a certificate, imported once for as long as the parsed certificate lives; undefined when the runtime refuses it. */
export async function keyOf(
  certificate: IssuerKey,
  scheme: SignatureScheme,
): Promise<PublicKey | undefined> {
  const known = imported.get(certificate)
  if (known?.scheme === scheme) return known
  const key = await runtimeCrypto.importPublicKey(certificate.spki, scheme)
  if (key !== undefined) imported.set(certificate, key)
  return key
}

/** Parsed certificates and lists whose signature holds, with the parsed issuer under whose key it does. */
const signers = new WeakMap<Signed, IssuerKey>()

/**
 * False for a wrong signature, and also when algorithm and key do not fit or the key is unusable. What was found to hold is remembered for
 * as long as both parsed values live, so that nothing is checked twice in one appraisal or under one prepared set.
 */
export async function isSignedBy(signed: Signed, issuer: IssuerKey): Promise<boolean> {
  if (signers.get(signed) === issuer) return true
  const good = await holds(signed, issuer)
  if (good) signers.set(signed, issuer)
  return good
}

async function holds(signed: Signed, issuer: IssuerKey): Promise<boolean> {
  const scheme = schemeFor(signed.signatureAlgorithm, issuer.keyKind)
  if (scheme === undefined) return false
  const key = await keyOf(issuer, scheme)
  if (key === undefined) return false
  const { curve } = SCHEMES[scheme]
  try {
    const signature =
      curve === undefined ? signed.signature : ecdsaToP1363(signed.signature, SCALAR_BYTES[curve])
    return await runtimeCrypto.verify(key, signed.tbs, signature)
  } catch (error) {
    if (error instanceof FormatError) return false
    throw error
  }
}
