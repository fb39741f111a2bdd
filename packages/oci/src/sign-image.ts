/** Signs an image in cosign's key-pair format: a payload and its signature as one more layer under the tag `sha256-<hex>.sig`. */
import { sign, type KeyObject } from 'node:crypto'
import { putJsonBlob, oneChunk, type ImageSink } from './image-sink.ts'
import { parseManifest, type Descriptor } from './manifest.ts'
import { MEDIA_TYPES } from './media-types.ts'
import { repositoryName, type ImageReference } from './reference.ts'
import { COSIGN, encodeSignedPayload, signatureTag } from './simple-signing.ts'
import type { ImageSource } from './image-source.ts'

export interface SignOptions {
  /** Where the image is: signatures that are there already are kept. */
  readonly source: ImageSource
  readonly sink: ImageSink
  /** Of the platform's manifest. */
  readonly manifestDigest: string
  /** The name that the signature is for; cosign signs the repository without a tag, and so do we. */
  readonly reference: Pick<ImageReference, 'registry' | 'repository'>
  readonly privateKey: KeyObject
  readonly signal?: AbortSignal
}

/** The descriptor of the signatures' manifest. */
export async function signImage(options: SignOptions): Promise<Descriptor> {
  const { source, sink, manifestDigest, privateKey } = options
  const payload = encodeSignedPayload(manifestDigest, repositoryName(options.reference))
  const signature = sign(hashFor(privateKey), payload, privateKey)
  const layer: Descriptor = {
    mediaType: MEDIA_TYPES.simpleSigning,
    ...(await sink.putBlob(oneChunk(payload))),
    annotations: { [COSIGN.signature]: signature.toString('base64') },
  }
  const tag = signatureTag(manifestDigest)
  const present = await source.document(tag, options.signal)
  const layers = [...(present === undefined ? [] : parseManifest(present).layers), layer]
  const config = await putJsonBlob(sink, MEDIA_TYPES.ociConfig, {
    architecture: '',
    os: '',
    config: {},
    rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
  })
  const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers }
  return sink.putDocument(Buffer.from(JSON.stringify(manifest)), MEDIA_TYPES.ociManifest, tag)
}

/** Cosign hashes with SHA-256 whatever the curve; Ed25519 hashes by itself. */
function hashFor(key: KeyObject): 'sha256' | null {
  return key.asymmetricKeyType === 'ed25519' ? null : 'sha256'
}
