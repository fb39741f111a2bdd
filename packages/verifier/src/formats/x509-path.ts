/** A certification path to one of the caller's own certificates (RFC 5280 section 6, the parts that token signers need). */
import { equalBytes } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import type { Certificate } from './x509-certificate.ts'
import { KEY_USAGE, basicConstraints, keyUsage } from './x509-extensions.ts'
import { isSignedBy } from './x509-verify.ts'

const MAX_DEPTH = 8

export interface PathRequest {
  readonly leaf: Certificate
  /** Untrusted, in any order. */
  readonly intermediates: readonly Certificate[]
  /** Trusted as they are, whether self-signed or not; the leaf itself may be one. */
  readonly anchors: readonly Certificate[]
  readonly now: Date
}

/** Whether the leaf reaches an anchor through certificates that are all in date and may issue. */
export async function hasPath(request: PathRequest): Promise<boolean> {
  try {
    return await reaches(request, request.leaf, 0)
  } catch (error) {
    if (error instanceof FormatError) return false
    throw error
  }
}

async function reaches(
  request: PathRequest,
  certificate: Certificate,
  depth: number,
): Promise<boolean> {
  const { anchors, intermediates, now } = request
  if (depth > MAX_DEPTH || certificate.notBefore > now || now > certificate.notAfter) return false
  if (anchors.some((anchor) => equalBytes(anchor.raw, certificate.raw))) return true
  const issuers = [...anchors, ...intermediates].filter(
    (candidate) =>
      equalBytes(candidate.subject.raw, certificate.issuer.raw) &&
      !equalBytes(candidate.raw, certificate.raw) &&
      mayIssue(candidate, depth),
  )
  for (const issuer of issuers.slice(0, 4))
    if ((await isSignedBy(certificate, issuer)) && (await reaches(request, issuer, depth + 1)))
      return true
  return false
}

/** @param below - intermediates under it on this path */
function mayIssue(certificate: Certificate, below: number): boolean {
  const constraints = basicConstraints(certificate)
  if (constraints?.ca !== true || (constraints.pathLength ?? below) < below) return false
  return keyUsage(certificate)?.has(KEY_USAGE.keyCertSign) !== false
}
