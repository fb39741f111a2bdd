/** Verifies a chain of certificates up to its root. */
import type { CryptoProvider, HashName } from '../crypto.ts'
import { basicConstraints, type Certificate } from './certificate.ts'

const SIGNATURE_HASHES: Readonly<Record<string, HashName | undefined>> = {
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
  '1.3.101.112': undefined,
}

/** Critical extensions whose meaning is checked here or concerns the use of the leaf. */
const UNDERSTOOD = new Set(['2.5.29.15', '2.5.29.17', '2.5.29.19', '2.5.29.37'])

/**
 * The chain from leaf to root, or undefined. As upstream: the first certificate is the root, the last the leaf, the
 * others intermediates in any order.
 */
export function verifyChain(
  certificates: readonly Certificate[],
  now: Date,
  crypto: CryptoProvider,
): Certificate[] | undefined {
  const [root, ...others] = certificates
  const leaf = others.pop()
  if (root === undefined || leaf === undefined) return undefined
  const chain = [leaf]
  const left = new Set(others)
  for (let at = leaf; at !== root;) {
    if (!isUsable(at, now)) return undefined
    const issuer = [root, ...left].find((candidate) =>
      isIssuer(candidate, at, chain.length - 1, crypto),
    )
    if (issuer === undefined) return undefined
    left.delete(issuer)
    chain.push(issuer)
    at = issuer
  }
  return isUsable(root, now) ? chain : undefined
}

function isUsable({ notBefore, notAfter, extensions }: Certificate, now: Date): boolean {
  return (
    notBefore <= now &&
    now <= notAfter &&
    extensions.every(({ id, critical }) => !critical || UNDERSTOOD.has(id))
  )
}

function isIssuer(
  issuer: Certificate,
  of: Certificate,
  below: number,
  crypto: CryptoProvider,
): boolean {
  if (!sameBytes(issuer.rawSubject, of.rawIssuer)) return false
  const { isAuthority, maxPath } = basicConstraints(issuer)
  if (!isAuthority || (maxPath !== undefined && maxPath < below)) return false
  if (!(of.signatureAlgorithm in SIGNATURE_HASHES)) return false
  try {
    return crypto.verifyDer(
      SIGNATURE_HASHES[of.signatureAlgorithm],
      issuer.spki,
      of.tbs,
      of.signature,
    )
  } catch {
    // A key that the provider cannot use has signed nothing.
    return false
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at])
}
