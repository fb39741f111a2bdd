/** Who vouches for a TPM: its EK certificate, up to a CA that the owner pinned. */
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { parseCertificate, type Certificate } from '@cloister/verifier/formats/x509-certificate'
import type { EnrolmentCheckCode } from '@cloister/protocol/errors/broker'
import { findTpmChain, fingerprintOf, leafProblem } from '@cloister/verifier/tpm/certificate'
import { isEndorsementKeySupported } from '@cloister/verifier/node/make-credential'

/** A CA that the owner pinned, with intermediates that lead to it; DER. */
export interface TpmAnchor {
  /** SHA-256 of the DER, hex. */
  readonly fingerprint: string
  readonly certificate: Uint8Array
  readonly intermediates: readonly Uint8Array[]
}

export interface EndorsementKey {
  /** SubjectPublicKeyInfo in DER. */
  readonly spki: Uint8Array
  /** SHA-256 of the certificate's DER, hex: the machine's name in release policies. */
  readonly fingerprint: string
  /** Of the pinned CA. */
  readonly anchor: string
}

/**
 * @param certificate - DER; attacker-controlled
 * @returns the code of what is wrong with it
 */
export async function judgeEndorsementKey(
  certificate: Uint8Array,
  anchors: readonly TpmAnchor[],
  now: Date,
): Promise<EndorsementKey | EnrolmentCheckCode> {
  const leaf = readLeaf(certificate)
  if (leaf === undefined) return 'tpm.ek.malformed'
  const candidates = anchors.flatMap((anchor) =>
    [anchor.certificate, ...anchor.intermediates].map((der) => parseCertificate(der)),
  )
  const pinned = anchors.map(({ fingerprint }) => fingerprint)
  const chain = await findTpmChain(leaf, candidates, pinned)
  const root = chain?.at(-1)
  if (chain === undefined || root === undefined) return 'tpm.ek.untrusted-root'
  if (!chain.every(({ notBefore, notAfter }) => notBefore <= now && now <= notAfter))
    return 'tpm.ek.not-in-date'
  return {
    spki: leaf.spki,
    fingerprint: await fingerprintOf(leaf),
    anchor: await fingerprintOf(root),
  }
}

function readLeaf(der: Uint8Array): Certificate | undefined {
  try {
    const leaf = parseCertificate(der)
    const isUsable = leafProblem(leaf, 'ek') === undefined && isEndorsementKeySupported(leaf.spki)
    return isUsable ? leaf : undefined
  } catch (error) {
    if (error instanceof FormatError) return undefined
    throw error
  }
}
