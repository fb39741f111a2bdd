/**
 * How a TPM's attestation key gets its certificate: credential activation (TPM 2.0 Library, part 1, 24), two requests beside the KBS protocol. The
 * broker encrypts a secret to the endorsement key for one attestation key by its Name; only a TPM that holds both can answer. Binary
 * members are base64.
 */
import { z } from 'zod'

/** Below the KBS path. */
export const TPM_ENROLMENT_PATH = {
  challenge: '/tpm-enrolment/challenge',
  certificate: '/tpm-enrolment/certificate',
} as const

const MAX_TEXT = 16_384
const MAX_ID = 4096
const Bytes = z.base64().min(4).max(MAX_TEXT)

/** POST challenge. */
export const TpmChallengeRequestSchema = z.object({
  /** DER. */
  'ek-certificate': Bytes,
  /** TPMT_PUBLIC. */
  'ak-public': Bytes,
})
export type TpmChallengeRequest = z.infer<typeof TpmChallengeRequestSchema>

export const TpmChallengeSchema = z.object({
  /** Base64url; good for one answer, by this broker's process, for a minute. */
  id: z
    .string()
    .regex(/^[A-Za-z0-9_-]+$/)
    .max(MAX_ID),
  /** TPM2B_ID_OBJECT without its size. */
  credential: Bytes,
  /** TPM2B_ENCRYPTED_SECRET without its size. */
  secret: Bytes,
})
export type TpmChallenge = z.infer<typeof TpmChallengeSchema>

/** POST certificate. */
export const TpmCertificateRequestSchema = z.object({
  id: z.string().max(MAX_ID),
  /** What the TPM opened. */
  secret: Bytes,
})
export type TpmCertificateRequest = z.infer<typeof TpmCertificateRequestSchema>

export const TpmCertificateSchema = z.object({
  /** Of the attestation key, DER. */
  certificate: Bytes,
  /** Milliseconds since 1970. */
  expiresAt: z.int(),
})
export type TpmCertificate = z.infer<typeof TpmCertificateSchema>
