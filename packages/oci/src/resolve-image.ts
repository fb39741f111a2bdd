/** From a tag or digest to the platform's manifest. */
import { CloisterError } from '@cloister/protocol/error'
import { isDigest, sha256Digest, verifyDigest } from './digest.ts'
import { documentByDigest, requireDocument, type ImageSource } from './image-source.ts'
import {
  hostPlatform,
  isIndexDocument,
  parseIndex,
  parseManifest,
  selectPlatform,
  type Manifest,
  type Platform,
} from './manifest.ts'

export interface ResolvedImage {
  /** Digest of the platform's manifest, not of an index. */
  readonly digest: string
  readonly manifest: Manifest
  readonly bytes: Uint8Array
}

/** Throws `image.not-found`, `image.platform-missing`, `image.manifest-malformed`. An index in an index is refused. */
export async function resolveImage(
  source: ImageSource,
  reference: string,
  platform: Platform = hostPlatform(),
  signal?: AbortSignal,
): Promise<ResolvedImage> {
  const bytes = await requireDocument(source, reference, signal)
  if (isDigest(reference)) verifyDigest(bytes, reference, `${source.name}@${reference}`)
  if (!isIndexDocument(bytes))
    return { digest: sha256Digest(bytes), manifest: parseManifest(bytes), bytes }
  const { digest } = selectPlatform(parseIndex(bytes), platform)
  const inner = await documentByDigest(source, digest, signal)
  if (isIndexDocument(inner))
    throw new CloisterError('image.manifest-malformed', {
      where: digest,
      why: 'an index names another index for a platform',
    })
  return { digest, manifest: parseManifest(inner), bytes: inner }
}
