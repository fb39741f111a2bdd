/** Where an image's documents and blobs come from: a registry, a layout directory, an archive. Nothing that it gives is trusted. */
import { CloisterError } from '@cloister/protocol/error'
import { verifyDigest } from './digest.ts'
import { MANIFEST_LIMITS, type Descriptor } from './manifest.ts'

export interface ImageSource {
  /** For people and errors: `registry.example/app`, `oci:/dir`. */
  readonly name: string
  /** Bytes of a manifest or index by tag or digest, bounded, not yet checked; absent when there is none. */
  document(reference: string, signal?: AbortSignal): Promise<Uint8Array | undefined>
  /**
   * The blob's bytes, exactly `size` of them from `offset` on, not yet checked by digest. The chunks are the reader's, who may keep
   * them or give their memory back.   * Throws `image.not-found`, `image.size-mismatch`, `registry.*`.
   */
  blob(
    descriptor: Pick<Descriptor, 'digest' | 'size'>,
    signal?: AbortSignal,
  ): AsyncIterable<Uint8Array>
}

/** A document that is named by digest, checked. */
export async function documentByDigest(
  source: ImageSource,
  digest: string,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const bytes = await requireDocument(source, digest, signal)
  verifyDigest(bytes, digest, `${source.name}@${digest}`)
  return bytes
}

/** A document by tag or digest; throws `image.not-found`. */
export async function requireDocument(
  source: ImageSource,
  reference: string,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const bytes = await source.document(reference, signal)
  if (bytes === undefined)
    throw new CloisterError('image.not-found', { where: `${source.name} ${reference}` })
  return bytes
}

/** A small blob, whole and checked: a configuration, a signature's payload. */
export async function smallBlob(
  source: ImageSource,
  descriptor: Pick<Descriptor, 'digest' | 'size'>,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  if (descriptor.size > MANIFEST_LIMITS.configBytes)
    throw new CloisterError('image.manifest-malformed', {
      where: descriptor.digest,
      why: `a configuration or signature of ${descriptor.size} bytes; at most ${MANIFEST_LIMITS.configBytes} are taken`,
    })
  const chunks: Uint8Array[] = []
  for await (const chunk of source.blob(descriptor, signal)) chunks.push(chunk)
  const bytes = Buffer.concat(chunks)
  if (bytes.length !== descriptor.size)
    throw new CloisterError('image.size-mismatch', {
      where: descriptor.digest,
      expected: `${descriptor.size} bytes`,
      received: `${bytes.length} bytes`,
    })
  verifyDigest(bytes, descriptor.digest, `${source.name} ${descriptor.digest}`)
  return bytes
}
