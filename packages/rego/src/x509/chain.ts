/** Verifies a chain of certificates up to its root. */
import type { CryptoProvider, HashName } from '../crypto.ts'
import { basicConstraints, type Certificate } from './certificate.ts'
import { objectId, only, readNodes } from './der.ts'

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

const NAME_CONSTRAINTS = '2.5.29.30'
const EXTENDED_KEY_USAGE = '2.5.29.37'
/** Server authentication, and any use. Upstream asks for the former. */
const WANTED_USES = new Set(['1.3.6.1.5.5.7.3.1', '2.5.29.37.0'])

function isUsable(certificate: Certificate, now: Date): boolean {
  const { notBefore, notAfter, extensions } = certificate
  return (
    notBefore <= now &&
    now <= notAfter &&
    hasWantedUse(certificate) &&
    // Constraints on names are not evaluated here, so a certificate that carries any proves nothing.
    extensions.every(
      ({ id, critical }) => id !== NAME_CONSTRAINTS && (!critical || UNDERSTOOD.has(id)),
    )
  )
}

function hasWantedUse({ extensions }: Certificate): boolean {
  const extension = extensions.find(({ id }) => id === EXTENDED_KEY_USAGE)
  if (extension === undefined) return true
  return readNodes(only(extension.value, 0x30).bytes).some((node) =>
    WANTED_USES.has(objectId(node)),
  )
}

/** Whether the key usage, where there is one, includes signing certificates. */
function maySign({ extensions }: Certificate): boolean {
  const extension = extensions.find(({ id }) => id === '2.5.29.15')
  return extension === undefined || ((extension.value[3] ?? 0) & 0x04) !== 0
}

function isIssuer(
  issuer: Certificate,
  of: Certificate,
  below: number,
  crypto: CryptoProvider,
): boolean {
  if (!sameBytes(issuer.rawSubject, of.rawIssuer)) return false
  const { isAuthority, maxPath } = basicConstraints(issuer)
  if (!isAuthority || !maySign(issuer) || (maxPath !== undefined && maxPath < below)) return false
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
