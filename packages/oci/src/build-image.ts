/** Builds a plain OCI image from directories or tar streams; the same input gives the same digests. */
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { constants, createGzip, createZstdCompress } from 'node:zlib'
import { directoryTar } from './directory-tar.ts'
import { putJsonBlob, type ImageSink } from './image-sink.ts'
import { hostPlatform, type Descriptor, type ImageConfig, type Platform } from './manifest.ts'
import { MEDIA_TYPES, type Compression } from './media-types.ts'

export type LayerInput =
  | { readonly directory: string; readonly keepOwners?: boolean }
  /** An uncompressed tar stream. */
  | { readonly tar: AsyncIterable<Uint8Array> }

export interface BuildOptions {
  readonly sink: ImageSink
  readonly tag: string
  /** Lowest first. */
  readonly layers: readonly LayerInput[]
  /** Entrypoint, Cmd, Env, User, WorkingDir … in OCI's own spelling. */
  readonly config: NonNullable<ImageConfig['config']>
  /** Absent: linux on this processor. */
  readonly platform?: Platform
  /** Absent: gzip. */
  readonly compression?: Compression
  /** Time of everything, seconds since 1970. Absent: 0. */
  readonly epoch?: number
  readonly annotations?: Readonly<Record<string, string>>
}

const LAYER_TYPES: Readonly<Record<Compression, string>> = {
  none: MEDIA_TYPES.ociLayer,
  gzip: MEDIA_TYPES.ociLayerGzip,
  zstd: MEDIA_TYPES.ociLayerZstd,
}

/** The manifest's descriptor. */
export async function buildImage(options: BuildOptions): Promise<Descriptor> {
  const { sink, epoch = 0, compression = 'gzip', platform = hostPlatform() } = options
  const layers: Descriptor[] = []
  const diffIds: string[] = []
  for (const input of options.layers) {
    const { descriptor, diffId } = await putLayer(sink, input, compression, epoch)
    layers.push(descriptor)
    diffIds.push(diffId)
  }
  const config = await putJsonBlob(sink, MEDIA_TYPES.ociConfig, {
    created: new Date(epoch * 1000).toISOString(),
    ...platform,
    config: options.config,
    rootfs: { type: 'layers', diff_ids: diffIds },
  })
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config,
    layers,
    ...(options.annotations && { annotations: options.annotations }),
  }
  const bytes = Buffer.from(JSON.stringify(manifest))
  return sink.putDocument(bytes, MEDIA_TYPES.ociManifest, options.tag)
}

async function putLayer(
  sink: ImageSink,
  input: LayerInput,
  compression: Compression,
  epoch: number,
): Promise<{ descriptor: Descriptor; diffId: string }> {
  const tar =
    'tar' in input
      ? input.tar
      : directoryTar(input.directory, { epoch, keepOwners: input.keepOwners ?? false })
  const hash = createHash('sha256')
  const blob = await sink.putBlob(compress(hashed(tar, hash), compression))
  return {
    descriptor: { mediaType: LAYER_TYPES[compression], ...blob },
    diffId: `sha256:${hash.digest('hex')}`,
  }
}

async function* hashed(
  content: AsyncIterable<Uint8Array>,
  hash: ReturnType<typeof createHash>,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of content) {
    hash.update(chunk)
    yield chunk
  }
}

function compress(
  content: AsyncIterable<Uint8Array>,
  compression: Compression,
): AsyncIterable<Uint8Array> {
  if (compression === 'none') return content
  const source = Readable.from(content, { objectMode: true })
  const compressor =
    compression === 'gzip'
      ? createGzip({ level: 6 })
      : createZstdCompress({ params: { [constants.ZSTD_c_checksumFlag]: 1 } })
  source.once('error', (error) => compressor.destroy(error))
  return source.pipe(compressor)
}
