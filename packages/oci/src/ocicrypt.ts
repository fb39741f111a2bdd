/**
 * Encrypted layers as ocicrypt describes them (spec/spec.md of containers/ocicrypt): what the annotations of a layer's descriptor say.
 * The layer's key and nonce lie in the private options, a JSON object wrapped once for each recipient.
 */
import { z } from 'zod'
import { CloisterError } from '@cloister/protocol/error'
import { isDigest } from './digest.ts'
import type { Descriptor } from './manifest.ts'

export const OCICRYPT = {
  cipher: 'AES_256_CTR_HMAC_SHA256',
  publicOptions: 'org.opencontainers.image.enc.pubopts',
  keys: 'org.opencontainers.image.enc.keys.',
  provider: 'org.opencontainers.image.enc.keys.provider.',
  jwe: 'org.opencontainers.image.enc.keys.jwe',
  /** The key provider of Confidential Containers, whose packets name a resource of a key broker. */
  attestationAgent: 'org.opencontainers.image.enc.keys.provider.attestation-agent',
} as const

/** Bytes. */
const KEY_SIZE = 32
const NONCE_SIZE = 16
const MAC_SIZE = 32
/** Recipients of one layer; each costs a try. */
const RECIPIENTS_LIMIT = 16

/** A layer's private options, wrapped for one recipient. */
export type WrappedKey =
  | { readonly scheme: 'provider'; readonly provider: string; readonly packet: Packet }
  /** JWE JSON serialization. */
  | { readonly scheme: 'jwe'; readonly jwe: string }
  /** PGP, PKCS#7, PKCS#11: known to exist, never opened. */
  | { readonly scheme: 'other'; readonly annotation: string }

/**
 * Opens one wrapped key: the private options as JSON. `undefined` means "not mine" and the next recipient is tried; throws when the
 * recipient is ours and cannot or must not be opened.
 */
export type UnwrapKey = (
  wrapped: WrappedKey,
  signal?: AbortSignal,
) => Promise<Uint8Array | undefined>

/** The attestation-agent's packet, V1 (four members) and V2. */
const PacketSchema = z.strictObject({
  kid: z.string().min(1).max(1024),
  wrapped_data: z.base64().max(64 * 1024),
  iv: z.base64().max(64).optional(),
  wrap_type: z.string().max(64).optional(),
  version: z.string().max(64).default('0.1.0'),
  provider: z.string().max(64).default('kbs'),
  provider_settings: z.unknown().optional(),
  annotations: z.unknown().optional(),
})
export type Packet = z.infer<typeof PacketSchema>

const CipherOptionsSchema = z.object({ nonce: z.base64().optional() }).nullish()

const PublicOptionsSchema = z.object({
  cipher: z.literal(OCICRYPT.cipher),
  hmac: z.base64(),
  cipheroptions: CipherOptionsSchema,
})
export type PublicOptions = z.infer<typeof PublicOptionsSchema>

const PrivateOptionsSchema = z.object({
  symkey: z.base64(),
  /** Of the layer before encryption: compressed, plain. */
  digest: z.string().refine(isDigest),
  cipheroptions: CipherOptionsSchema,
})

/** What decrypting one layer takes. */
export interface LayerKey {
  readonly key: Buffer
  readonly nonce: Buffer
  readonly mac: Buffer
  /** Digest that the decrypted (still compressed) layer must have. */
  readonly plainDigest: string
}

/** The wrapped keys of an encrypted layer in the order of preference: broker packets, other providers, JWE, the rest. */
export function wrappedKeys(layer: Descriptor): WrappedKey[] {
  const annotations = Object.entries(layer.annotations ?? {})
  const recipients = annotations.flatMap(([annotation, value]) =>
    annotation.startsWith(OCICRYPT.keys)
      ? value.split(',').map((encoded) => wrappedKey(annotation, encoded))
      : [],
  )
  if (recipients.length > RECIPIENTS_LIMIT)
    throw malformed(layer, `${recipients.length} recipients; at most ${RECIPIENTS_LIMIT} are taken`)
  const rank = { provider: 0, jwe: 1, other: 2 }
  return recipients.sort((a, b) => rank[a.scheme] - rank[b.scheme])
}

function wrappedKey(annotation: string, encoded: string): WrappedKey {
  if (annotation === OCICRYPT.jwe) return { scheme: 'jwe', jwe: base64Text(encoded, annotation) }
  if (!annotation.startsWith(OCICRYPT.provider)) return { scheme: 'other', annotation }
  const provider = annotation.slice(OCICRYPT.provider.length)
  const packet = parseOptions(PacketSchema, base64Text(encoded, annotation), annotation)
  return { scheme: 'provider', provider, packet }
}

export function publicOptions(layer: Descriptor): PublicOptions {
  const encoded = layer.annotations?.[OCICRYPT.publicOptions]
  if (encoded === undefined) throw malformed(layer, 'an encrypted layer without public options')
  return parseOptions(PublicOptionsSchema, base64Text(encoded, OCICRYPT.publicOptions), 'pubopts')
}

/** Joins public and unwrapped private options; every member must have its exact length. */
export function layerKey(options: PublicOptions, privateOptionsJson: Uint8Array): LayerKey {
  const text = Buffer.from(privateOptionsJson).toString('utf8')
  const secret = parseOptions(PrivateOptionsSchema, text, 'private options')
  const nonce = options.cipheroptions?.nonce ?? secret.cipheroptions?.nonce ?? ''
  return {
    key: exactly(KEY_SIZE, secret.symkey, 'symkey'),
    nonce: exactly(NONCE_SIZE, nonce, 'nonce'),
    // An empty expected MAC would match nothing honest and must not reach a comparison.
    mac: exactly(MAC_SIZE, options.hmac, 'hmac'),
    plainDigest: secret.digest,
  }
}

function exactly(size: number, base64: string, field: string): Buffer {
  const bytes = Buffer.from(base64, 'base64')
  if (bytes.length !== size)
    throw new CloisterError('image.decryption-failed', {
      where: field,
      expected: `${size} bytes`,
      received: `${bytes.length} bytes`,
    })
  return bytes
}

function base64Text(encoded: string, where: string): string {
  const result = z.base64().safeParse(encoded)
  if (!result.success)
    throw new CloisterError('image.manifest-malformed', { where, why: 'it is not base64' })
  return Buffer.from(encoded, 'base64').toString('utf8')
}

function parseOptions<T>(schema: z.ZodType<T>, json: string, where: string): T {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch {
    // The parser's message would quote the text, which may be secret.
  }
  const result = schema.safeParse(value)
  if (result.success) return result.data
  throw new CloisterError('image.manifest-malformed', {
    where,
    why: `encryption options do not have ocicrypt's shape: ${result.error.issues[0]?.path.join('.')}`,
  })
}

function malformed(layer: Descriptor, why: string): CloisterError {
  return new CloisterError('image.manifest-malformed', { where: layer.digest, why })
}
