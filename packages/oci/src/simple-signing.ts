/** The "simple signing" payload that cosign signs (cosign SIGNATURE_SPEC.md, containers-signature(5)): which digest, under which name. */
import { z } from 'zod'
import { formatReference, parseReference, repositoryName } from './reference.ts'
import type { SignedReference } from './signature-policy.ts'

export const COSIGN = {
  /** Annotation of a signature layer: base64 of the signature over the layer's bytes. */
  signature: 'dev.cosignproject.cosign/signature',
  payloadType: 'cosign container image signature',
} as const

const PayloadSchema = z.object({
  critical: z.strictObject({
    identity: z.strictObject({ 'docker-reference': z.string().max(1024) }),
    image: z.strictObject({ 'docker-manifest-digest': z.string().max(256) }),
    type: z.literal(COSIGN.payloadType),
  }),
  optional: z.record(z.string(), z.unknown()).nullish(),
})

export interface SignedPayload {
  readonly manifestDigest: string
  readonly identity: SignedReference
}

/** Absent: not such a payload. */
export function parseSignedPayload(bytes: Uint8Array): SignedPayload | undefined {
  try {
    const { critical } = PayloadSchema.parse(JSON.parse(Buffer.from(bytes).toString('utf8')))
    return {
      manifestDigest: critical.image['docker-manifest-digest'],
      identity: signedReference(critical.identity['docker-reference']),
    }
  } catch {
    // Signed or not, what cannot be read proves nothing; the caller counts it as no signature.
    return undefined
  }
}

/** The bytes to sign, in cosign's member order. */
export function encodeSignedPayload(manifestDigest: string, dockerReference: string): Buffer {
  return Buffer.from(
    JSON.stringify({
      critical: {
        identity: { 'docker-reference': dockerReference },
        image: { 'docker-manifest-digest': manifestDigest },
        type: COSIGN.payloadType,
      },
      optional: null,
    }),
  )
}

/** The tag under which the signatures of a manifest lie: `sha256-<hex>.sig`. */
export function signatureTag(manifestDigest: string): string {
  return `${manifestDigest.replace(':', '-')}.sig`
}

function signedReference(text: string): SignedReference {
  const reference = parseReference(text)
  const repository = repositoryName(reference)
  // The parser fills in `latest`; a signature that names no tag is for the repository.
  const isPinned = reference.digest !== undefined || text.lastIndexOf(':') > text.lastIndexOf('/')
  return { text: isPinned ? formatReference(reference) : repository, repository, isPinned }
}
