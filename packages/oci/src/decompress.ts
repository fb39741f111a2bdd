/** Decompression of a layer while it is read: gzip with any number of members, zstd with any number of frames. */
import { Readable } from 'node:stream'
import { constants, createGunzip, createZstdDecompress } from 'node:zlib'
import { CloisterError } from '@cloister/protocol/error'
import { ZstdFrameSplitter } from './zstd-frames.ts'
import type { Compression } from './media-types.ts'

/** Bytes a chunk of output; larger ones cost memory and gain nothing (bench/oci-unpack.ts). */
const CHUNK_SIZE = 128 * 1024
/** Chunks that it makes ahead of their reader: without any, one side would always wait for the other. As objects, for else they were joined by copying. */
const AHEAD = { readableObjectMode: true, readableHighWaterMark: 8 }
/** log2 of the window that a zstd frame may ask for: 32 MiB. Levels up to 21 stay below; only `--ultra -22` and `--long` ask for more. */
const ZSTD_WINDOW_LOG_MAX = 25

/** Throws `image.layer-malformed` for broken compression; errors of the input pass unchanged. */
export async function* decompress(
  input: AsyncIterable<Uint8Array>,
  compression: Compression,
): AsyncGenerator<Uint8Array> {
  if (compression === 'none') {
    yield* input
    return
  }
  const decompressor =
    compression === 'gzip'
      ? createGunzip({ chunkSize: CHUNK_SIZE, ...AHEAD })
      : createZstdDecompress({
          chunkSize: CHUNK_SIZE,
          ...AHEAD,
          params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX },
        })
  const framed = compression === 'zstd' ? splitFrames(input) : input
  const source = Readable.from(framed, { objectMode: true })
  source.once('error', (error) => decompressor.destroy(error))
  try {
    for await (const chunk of source.pipe(decompressor)) yield chunk as Buffer
  } catch (error) {
    throw isCompressionError(error)
      ? new CloisterError('image.layer-malformed', {
          why: `its ${compression} data is broken`,
          cause: error,
        })
      : error
  } finally {
    source.destroy()
  }
}

async function* splitFrames(input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const splitter = new ZstdFrameSplitter()
  for await (const chunk of input) yield* splitter.split(chunk)
}

function isCompressionError(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' && (code.startsWith('Z_') || code.startsWith('ZSTD_'))
}
