/** Whether one certificate or list was signed by a key: the signature alone, no dates, no names. */
import { runtimeCrypto } from '#crypto'
import { equalBytes } from '../bytes/equal.ts'
import type { PublicKey, SignatureScheme } from '../crypto/crypto.ts'
import { next } from '../crypto/eventual.ts'
import type { Eventual } from '../crypto/eventual.ts'
import { schemeFor } from './x509-algorithm.ts'
import type { KeyKind, SignatureAlgorithm } from './x509-algorithm.ts'
import type { X509Memo } from './x509-memo.ts'

/** A signed structure of X.509: a certificate or a revocation list. */
export interface Signed {
  readonly tbs: Uint8Array
  readonly signatureAlgorithm: SignatureAlgorithm
  readonly signature: Uint8Array
  /** Absent: nothing is remembered. */
  readonly memo?: X509Memo
}

/** The key that should have signed: a certificate's, for instance. */
export interface IssuerKey {
  readonly spki: Uint8Array
  readonly keyKind: KeyKind
  /** Absent: nothing is remembered. */
  readonly memo?: X509Memo
}

/**
 * The key of a certificate, imported once for as long as the parsed certificate lives: an import costs as much as a fifth of a P-256 check, and one
 * issuer signs certificates, lists and statements. Undefined when the runtime refuses it.
 */
export function keyOf(
  { spki, memo }: IssuerKey,
  scheme: SignatureScheme,
): Eventual<PublicKey | undefined> {
  if (memo?.key?.scheme === scheme) return memo.key
  return next(runtimeCrypto.importPublicKey(spki, scheme), (key) => {
    if (memo !== undefined) memo.key = key
    return key
  })
}

/**
 * False for a wrong signature, and also when algorithm and key do not fit or the key is unusable. What was found to hold is remembered for
 * as long as the parsed value lives, whichever copy of the issuer is at hand: nothing is checked twice in one appraisal or under one prepared set.
 */
export function isSignedBy(signed: Signed, issuer: IssuerKey): Eventual<boolean> {
  if (wasSignedBy(signed, issuer)) return true
  const { memo } = signed
  return next(holds(signed, issuer), (good) => {
    if (good && memo !== undefined) memo.signer = issuer.spki
    return good
  })
}

/** Whether {@link isSignedBy} has found the signature to hold before; for what can be asked without waiting. */
export function wasSignedBy({ memo }: Signed, issuer: IssuerKey): boolean {
  return memo?.signer !== undefined && equalBytes(memo.signer, issuer.spki)
}

function holds(signed: Signed, issuer: IssuerKey): Eventual<boolean> {
  const scheme = schemeFor(signed.signatureAlgorithm, issuer.keyKind)
  if (scheme === undefined) return false
  return next(
    keyOf(issuer, scheme),
    (key) => key !== undefined && runtimeCrypto.verifyDer(key, signed.tbs, signed.signature),
  )
}
