/** Encrypts an image's layers with ocicrypt: a new key and nonce for each layer, wrapped for each recipient. */
import { createCipheriv, randomBytes, type KeyObject } from 'node:crypto'
import { checkedBlob, copyBlob, type ImageSink } from './image-sink.ts'
import { sealJwe } from './jwe.ts'
import { encryptLayer } from './layer-cipher.ts'
import { encryptedType, layerFormat, MEDIA_TYPES } from './media-types.ts'
import { OCICRYPT } from './ocicrypt.ts'
import { resolveImage } from './resolve-image.ts'
import { CloisterError } from '@cloister/protocol/error'
import type { ImageSource } from './image-source.ts'
import type { Descriptor, Platform } from './manifest.ts'

export type Recipient =
  /** A resource of the key broker: `repository/type/tag` and its 32 bytes. */
  | { readonly scheme: 'broker'; readonly resource: string; readonly key: Uint8Array }
  /** RSA public key, for tools such as skopeo. */
  | { readonly scheme: 'jwe'; readonly publicKey: KeyObject }

export interface EncryptOptions {
  readonly source: ImageSource
  /** Tag or digest in the source. */
  readonly from: string
  readonly sink: ImageSink
  /** Tag in the sink. */
  readonly tag: string
  /** At least one. */
  readonly recipients: readonly Recipient[]
  readonly platform?: Platform
  readonly signal?: AbortSignal
}

/** The encrypted manifest's descriptor. Layers that are encrypted already stay as they are. */
export async function encryptImage(options: EncryptOptions): Promise<Descriptor> {
  const { source, sink, recipients, signal } = options
  if (recipients.length === 0) throw new TypeError('encryption without a recipient loses the image')
  const { manifest } = await resolveImage(source, options.from, options.platform, signal)
  const layers: Descriptor[] = []
  for (const layer of manifest.layers)
    layers.push(await putEncrypted(source, sink, layer, recipients, signal))
  await copyBlob(source, sink, manifest.config, signal)
  const encrypted = {
    ...manifest,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { ...manifest.config, mediaType: MEDIA_TYPES.ociConfig },
    layers,
  }
  const bytes = Buffer.from(JSON.stringify(encrypted))
  return sink.putDocument(bytes, MEDIA_TYPES.ociManifest, options.tag)
}

async function putEncrypted(
  source: ImageSource,
  sink: ImageSink,
  layer: Descriptor,
  recipients: readonly Recipient[],
  signal: AbortSignal | undefined,
): Promise<Descriptor> {
  const format = layerFormat(layer.mediaType)
  if (format === undefined)
    throw new CloisterError('image.media-type-unsupported', {
      where: layer.digest,
      received: layer.mediaType,
    })
  if (format.encrypted) {
    await copyBlob(source, sink, layer, signal)
    return layer
  }
  const secret = { key: randomBytes(32), nonce: randomBytes(16) }
  let mac: Buffer = Buffer.alloc(0)
  const blob = await sink.putBlob(
    encryptLayer(checkedBlob(source, layer, signal), secret, (value) => (mac = value)),
  )
  const privateOptions = Buffer.from(
    JSON.stringify({
      symkey: secret.key.toString('base64'),
      digest: layer.digest,
      cipheroptions: { nonce: secret.nonce.toString('base64') },
    }),
  )
  const publicOptions = { cipher: OCICRYPT.cipher, hmac: mac.toString('base64'), cipheroptions: {} }
  return {
    mediaType: encryptedType(format),
    ...blob,
    annotations: {
      ...layer.annotations,
      [OCICRYPT.publicOptions]: base64Json(publicOptions),
      ...wrapForAll(privateOptions, recipients),
    },
  }
}

/** One annotation a scheme, its packets joined by commas. */
function wrapForAll(
  privateOptions: Buffer,
  recipients: readonly Recipient[],
): Record<string, string> {
  const packets: Record<string, string[]> = {}
  for (const recipient of recipients) {
    const [annotation, packet] = wrap(privateOptions, recipient)
    packets[annotation] = [...(packets[annotation] ?? []), packet]
  }
  return Object.fromEntries(
    Object.entries(packets).map(([annotation, list]) => [annotation, list.join(',')]),
  )
}

function wrap(privateOptions: Buffer, recipient: Recipient): [string, string] {
  switch (recipient.scheme) {
    case 'broker':
      return [OCICRYPT.attestationAgent, base64Json(sealPacket(privateOptions, recipient))]
    case 'jwe':
      return [
        OCICRYPT.jwe,
        Buffer.from(sealJwe(privateOptions, recipient.publicKey)).toString('base64'),
      ]
    default:
      return recipient satisfies never
  }
}

/** Packet V1 of the attestation agent. */
function sealPacket(
  privateOptions: Buffer,
  { resource, key }: { resource: string; key: Uint8Array },
): Record<string, string> {
  const iv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key, iv)
  const wrapped = Buffer.concat([
    cipher.update(privateOptions),
    cipher.final(),
    cipher.getAuthTag(),
  ])
  return {
    kid: `kbs:///${resource}`,
    wrapped_data: wrapped.toString('base64'),
    iv: iv.toString('base64'),
    wrap_type: 'A256GCM',
  }
}

function base64Json(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64')
}
