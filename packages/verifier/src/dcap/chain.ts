/** Certificates from a PCK or TCB signing leaf to Intel's pinned root; independent of time. */
import { runtimeCrypto } from '#crypto'
import { equalBytes } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { next } from '../crypto/eventual.ts'
import type { Eventual } from '../crypto/eventual.ts'
import type { Certificate } from '../formats/x509-certificate.ts'
import { KEY_USAGE, basicConstraints, keyUsage } from '../formats/x509-extensions.ts'
import { isSignedBy } from '../formats/x509-verify.ts'
import type { IntelRoot } from './anchors.ts'

export const MAX_INTERMEDIATES = 1
const MAX_ISSUERS = 4

export type ChainResult =
  /** Leaf first, root last. */
  | { readonly found: true; readonly chain: readonly Certificate[] }
  /** `no-issuer`: a certificate on the way was not given. */
  | { readonly found: false; readonly problem: 'no-issuer' | 'untrusted' }

/** Checks the signatures on the way; a certificate that was checked before is not checked again. */
export async function chainToRoot(
  leaf: Certificate,
  candidates: readonly Certificate[],
  root: IntelRoot,
): Promise<ChainResult> {
  const chain = [leaf]
  let current = leaf
  for (let depth = 0; depth <= MAX_INTERMEDIATES; depth++) {
    const issuers = issuersOf(current, candidates)
    if (issuers.length === 0) return { found: false, problem: 'no-issuer' }
    let issuer: Certificate | undefined
    for (const each of issuers.slice(0, MAX_ISSUERS))
      if (mayIssue(each, depth) && isEcdsaSha256(current) && (await isSignedBy(current, each))) {
        issuer = each
        break
      }
    if (issuer === undefined) return { found: false, problem: 'untrusted' }
    chain.push(issuer)
    if (await isRoot(issuer, root)) return { found: true, chain }
    current = issuer
  }
  return { found: false, problem: 'untrusted' }
}

function issuersOf(
  { issuer }: Certificate,
  candidates: readonly Certificate[],
): readonly Certificate[] {
  const issuers: Certificate[] = []
  for (const candidate of candidates)
    if (equalBytes(candidate.subject.raw, issuer.raw)) issuers.push(candidate)
  return issuers
}

/** The root is pinned by its content; whoever names another issuer is none. */
function isRoot(certificate: Certificate, { fingerprint }: IntelRoot): Eventual<boolean> {
  const { subject, issuer, raw, memo } = certificate
  if (!equalBytes(subject.raw, issuer.raw)) return false
  if (memo.fingerprint !== undefined) return memo.fingerprint === fingerprint
  return next(runtimeCrypto.digest('SHA-256', raw), (digest) => {
    memo.fingerprint = toHex(digest)
    return memo.fingerprint === fingerprint
  })
}

/** @param below - intermediates under it on this path */
function mayIssue(issuer: Certificate, below: number): boolean {
  try {
    const constraints = basicConstraints(issuer)
    if (constraints?.ca !== true || (constraints.pathLength ?? below) < below) return false
    return keyUsage(issuer)?.has(KEY_USAGE.keyCertSign) === true
  } catch (error) {
    if (error instanceof FormatError) return false
    throw error
  }
}

export function isEcdsaSha256({
  signatureAlgorithm,
}: Pick<Certificate, 'signatureAlgorithm'>): boolean {
  return signatureAlgorithm.kind === 'ecdsa' && signatureAlgorithm.hash === 'sha256'
}
