/** A chain that comes in a fixed order, as NVIDIA and AWS send theirs: each certificate is judged as the issuer of the one before it. */
import { equalBytes } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import type { Certificate, Extension } from './x509-certificate.ts'
import { EXTENSION_OID, KEY_USAGE, basicConstraints, keyUsage } from './x509-extensions.ts'
import { isSignedBy } from './x509-verify.ts'

/** Critical extensions that are judged here; any other makes a certificate unusable (RFC 5280 section 4.2). */
const UNDERSTOOD: ReadonlySet<string> = new Set([
  EXTENSION_OID.basicConstraints,
  EXTENSION_OID.keyUsage,
])

export type ChainFault = 'names' | 'constraints' | 'signature'

export interface ChainProblem {
  readonly fault: ChainFault
  /** Place in the chain, 0 for the leaf. */
  readonly at: number
}

/**
 * The first thing that is wrong between leaf and root, undefined when all holds. Dates, and who the root is, are not judged.
 *
 * @param chain - leaf first, self-signed root last
 */
export async function findChainProblem(
  chain: readonly Certificate[],
): Promise<ChainProblem | undefined> {
  for (const [at, certificate] of chain.entries()) {
    // The root stands for itself.
    const issuer = chain[at + 1] ?? certificate
    if (!equalBytes(certificate.issuer.raw, issuer.subject.raw)) return { fault: 'names', at }
    if (!mayStandAt(certificate, at)) return { fault: 'constraints', at }
    if (!(await isSignedBy(certificate, issuer))) return { fault: 'signature', at }
  }
  return undefined
}

function mayStandAt(certificate: Certificate, at: number): boolean {
  try {
    if (certificate.extensions.some(isNotUnderstood)) return false
    const constraints = basicConstraints(certificate)
    const usage = keyUsage(certificate)
    if (at === 0) return constraints?.ca !== true && usage?.has(KEY_USAGE.digitalSignature) === true
    const below = at - 1
    if (constraints?.ca !== true || (constraints.pathLength ?? below) < below) return false
    return usage?.has(KEY_USAGE.keyCertSign) === true
  } catch (error) {
    if (error instanceof FormatError) return false
    throw error
  }
}

function isNotUnderstood({ critical, oid }: Extension): boolean {
  return critical && !UNDERSTOOD.has(oid)
}
