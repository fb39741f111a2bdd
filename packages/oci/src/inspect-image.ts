/** What an image is, for people: platform, layers, who may open them, who signed. Nothing here is a trust decision. */
import { smallBlob, type ImageSource } from './image-source.ts'
import { parseImageConfig, type ImageConfig, type Platform } from './manifest.ts'
import { layerFormat, type Compression } from './media-types.ts'
import { wrappedKeys } from './ocicrypt.ts'
import { resolveImage } from './resolve-image.ts'
import { parseSignedPayload } from './simple-signing.ts'
import { cosignSignatures } from './verify-signatures.ts'
import type { Descriptor } from './manifest.ts'

export interface InspectedImage {
  /** Of the platform's manifest. */
  readonly digest: string
  readonly platform: Platform
  readonly created: string | undefined
  readonly config: NonNullable<ImageConfig['config']>
  /** Compressed bytes of all layers. */
  readonly size: number
  readonly encrypted: boolean
  readonly layers: readonly InspectedLayer[]
  /** Unverified: what the signatures claim. Verify with a policy. */
  readonly signatures: readonly InspectedSignature[]
}

export interface InspectedLayer {
  readonly digest: string
  readonly size: number
  readonly mediaType: string
  /** Absent: a type that Cloister cannot unpack. */
  readonly compression: Compression | undefined
  readonly encrypted: boolean
  /** For each recipient the key id (`kbs:///…`) or the scheme. */
  readonly recipients: readonly string[]
}

export interface InspectedSignature {
  /** Digest that was signed; absent: the payload cannot be read. */
  readonly manifestDigest: string | undefined
  readonly dockerReference: string | undefined
}

/** @param reference tag or digest in the source */
export async function inspectImage(
  source: ImageSource,
  reference: string,
  options: { platform?: Platform; signal?: AbortSignal } = {},
): Promise<InspectedImage> {
  const { signal } = options
  const { digest, manifest } = await resolveImage(source, reference, options.platform, signal)
  const config = parseImageConfig(await smallBlob(source, manifest.config, signal))
  const layers = manifest.layers.map(inspectLayer)
  const { os, architecture, variant } = config
  return {
    digest,
    platform: { os, architecture, ...(variant !== undefined && { variant }) },
    created: config.created ?? undefined,
    config: config.config ?? {},
    size: layers.reduce((sum, { size }) => sum + size, 0),
    encrypted: layers.length > 0 && layers.every(({ encrypted }) => encrypted),
    layers,
    signatures: (await cosignSignatures(source, digest, signal)).map(({ payload }) => {
      const signed = parseSignedPayload(payload)
      return { manifestDigest: signed?.manifestDigest, dockerReference: signed?.identity.text }
    }),
  }
}

function inspectLayer(layer: Descriptor): InspectedLayer {
  const { digest, size, mediaType } = layer
  const format = layerFormat(mediaType)
  return {
    digest,
    size,
    mediaType,
    compression: format?.compression,
    encrypted: format?.encrypted ?? false,
    recipients: format?.encrypted === true ? wrappedKeys(layer).map(recipientName) : [],
  }
}

function recipientName(wrapped: ReturnType<typeof wrappedKeys>[number]): string {
  switch (wrapped.scheme) {
    case 'provider':
      return wrapped.packet.kid
    case 'jwe':
      return 'jwe'
    case 'other':
      return wrapped.annotation
    default:
      return wrapped satisfies never
  }
}
