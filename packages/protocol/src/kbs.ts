/**
 * Messages of the KBS protocol 0.4.0 (Request, Challenge, Attestation, Response) as Trustee and its clients write them.
 * Unknown members are dropped: what is hashed and put into tokens is only what stands here.
 */
import { z } from 'zod'
import type { ErrorCode } from './errors/catalogue.ts'

export const KBS_VERSION = '0.4.0'
export const KBS_PATH = '/kbs/v0'
export const KBS_SESSION_COOKIE = 'kbs-session-id'

const base64url = (length: number) => z.string().regex(new RegExp(`^[A-Za-z0-9_-]{${length}}$`))

/** Coordinates are base64url of exactly 32 bytes. */
const EcP256KeySchema = z.object({
  kty: z.literal('EC'),
  crv: z.literal('P-256'),
  alg: z.literal('ECDH-ES+A256KW'),
  x: base64url(43),
  y: base64url(43),
})

/** Coordinates are base64url of exactly 66 bytes, padded with zeros on the left. */
const EcP521KeySchema = z.object({
  kty: z.literal('EC'),
  crv: z.literal('P-521'),
  alg: z.literal('ECDH-ES+A256KW'),
  x: base64url(88),
  y: base64url(88),
})

/** 2048 to 8192 bits. RSA1_5 is refused: its padding is an oracle for whoever can watch a decryption fail. */
const RsaKeySchema = z.object({
  kty: z.literal('RSA'),
  alg: z.literal('RSA-OAEP-256'),
  n: z.string().regex(/^[A-Za-z0-9_-]{342,1366}$/),
  e: z.string().regex(/^[A-Za-z0-9_-]{1,8}$/),
})

/** The key of the Attester to which resources are encrypted; only the members that are hashed. */
export const TeePublicKeySchema = z.union([EcP256KeySchema, EcP521KeySchema, RsaKeySchema])
export type TeePublicKey = z.infer<typeof TeePublicKeySchema>

/** POST /auth. `extra-params` must be there, whatever it holds. */
export const KbsRequestSchema = z.object({
  version: z.string().max(32),
  tee: z.string().max(32),
  'extra-params': z.unknown().refine((value) => value !== undefined, 'extra-params is missing'),
})
export type KbsRequest = z.infer<typeof KbsRequestSchema>

/** Answer of /auth. The nonce is text: it is hashed as it stands. */
export const KbsChallengeSchema = z.object({
  nonce: z.string().min(1).max(8192),
  'extra-params': z.unknown(),
})
export type KbsChallenge = z.infer<typeof KbsChallengeSchema>

/** POST /attest. */
export const KbsAttestationSchema = z.object({
  'init-data': z
    .object({ format: z.string().max(16), body: z.string() })
    .nullish()
    .transform((value) => value ?? undefined),
  'runtime-data': z.object({
    nonce: z.string().max(8192),
    'tee-pubkey': TeePublicKeySchema,
  }),
  'tee-evidence': z.object({
    primary_evidence: z.unknown(),
    /** JSON text of an object, or empty; hashed as it stands. */
    additional_evidence: z.string().default(''),
  }),
})
export type KbsAttestation = z.infer<typeof KbsAttestationSchema>
export type KbsAttestationInput = z.input<typeof KbsAttestationSchema>

/** Answer of /attest. */
export const KbsTokenSchema = z.object({ token: z.string().min(5) })
export type KbsToken = z.infer<typeof KbsTokenSchema>

/** Flattened JWE, the answer of GET /resource. `aad` is absent in practice and refused by us. */
export const FlattenedJweSchema = z.object({
  protected: z.string(),
  encrypted_key: z.string(),
  iv: z.string(),
  ciphertext: z.string(),
  tag: z.string(),
})
export type FlattenedJwe = z.infer<typeof FlattenedJweSchema>

const ERROR_TYPE = 'https://github.com/confidential-containers/kbs/errors/'

/** The last part of an error's `type`; all go out as 401 but the two that are 404. */
export type KbsErrorVariant =
  | 'AdminAuthAccess'
  | 'AdminAuthInitialization'
  | 'AttestationError'
  | 'InvalidRequestPath'
  | 'PluginInternalError'
  | 'PluginNotFound'
  | 'PolicyDeny'
  | 'TokenNotFound'
  | 'TokenVerifierError'

export const KbsErrorSchema = z.object({ type: z.string().max(512), detail: z.string().max(4096) })
export type KbsError = z.infer<typeof KbsErrorSchema>

/**
 * The error object for a guest: upstream's text, then our code and the request id, and nothing else that differs.
 * `Access denied by policy [release.refused 0f3c…]`.
 */
export function kbsError(
  variant: KbsErrorVariant,
  text: string,
  code: ErrorCode,
  requestId: string,
): KbsError {
  return { type: ERROR_TYPE + variant, detail: `${text} [${code} ${requestId}]` }
}

/** Reads the code and the request id out of an error's detail; both absent in the errors of other brokers. */
export function readKbsError(error: KbsError): {
  readonly variant: string
  readonly code?: string
  readonly requestId?: string
} {
  const variant = error.type.slice(error.type.lastIndexOf('/') + 1)
  const found = /\[([a-z0-9.-]{1,80}) ([0-9a-f]{32})\]$/.exec(error.detail)
  if (found === null) return { variant }
  return { variant, code: found[1] as string, requestId: found[2] as string }
}
