/** Decompression of a layer while it is read: gzip with any number of members, zstd with any number of frames. */
import { constants, createZstdDecompress } from 'node:zlib'
import { CloisterError } from '@cloister/protocol/error'
import { DECOMPRESSOR_OPTIONS, through } from './decompressor.ts'
import { gunzip } from './gunzip.ts'
import { PieceReader } from './piece-reader.ts'
import { ZstdFrameSplitter } from './zstd-frames.ts'
import type { ZstdDecompress } from 'node:zlib'
import type { Compression } from './media-types.ts'

/** Bytes of input at once: each piece is a round trip between two threads, and what comes from a network comes in pieces of 16 KiB. */
const BATCH_SIZE = 512 * 1024
/** log2 of the window that a zstd frame may ask for: 32 MiB. Levels up to 21 stay below; only `--ultra -22` and `--long` ask for more. */
const ZSTD_WINDOW_LOG_MAX = 25

/**
 * A chunk is valid only until the next is asked for. Comes to its end only when the input did: the checks of what is read come there.
 *
 * @throws CloisterError `image.layer-malformed` for broken compression and for bytes after its end; errors of the input unchanged
 */
export async function* decompress(
  input: AsyncIterable<Uint8Array>,
  compression: Compression,
): AsyncGenerator<Uint8Array> {
  if (compression === 'none') {
    yield* input
    return
  }
  const batches = inBatches(input)
  const pieces = new PieceReader(compression === 'zstd' ? splitFrames(batches) : batches)
  try {
    yield* compression === 'zstd' ? through(pieces, createZstd()) : gunzip(pieces)
    if (!(await pieces.isAtEnd()))
      throw new CloisterError('image.layer-malformed', {
        why: `bytes follow the end of its ${compression} data`,
      })
  } catch (error) {
    throw isCompressionError(error)
      ? new CloisterError('image.layer-malformed', {
          why: `its ${compression} data is broken`,
          cause: error,
        })
      : error
  } finally {
    pieces.close()
  }
}

function createZstd(): ZstdDecompress {
  return createZstdDecompress({
    ...DECOMPRESSOR_OPTIONS,
    params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG_MAX },
  })
}

/** The same bytes in larger pieces. A piece is valid until the second next is asked for: there are two, in turn. */
async function* inBatches(input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let batch = Buffer.allocUnsafeSlow(BATCH_SIZE)
  let other = Buffer.allocUnsafeSlow(BATCH_SIZE)
  let filled = 0
  for await (const chunk of input)
    for (let offset = 0; offset < chunk.length;) {
      const part = chunk.subarray(offset, offset + BATCH_SIZE - filled)
      batch.set(part, filled)
      offset += part.length
      filled += part.length
      if (filled < BATCH_SIZE) continue
      yield batch
      filled = 0
      ;[batch, other] = [other, batch]
    }
  if (filled > 0) yield batch.subarray(0, filled)
}

const EMPTY = new Uint8Array()

async function* splitFrames(input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const splitter = new ZstdFrameSplitter()
  for await (const chunk of input) {
    let isSkipped = true
    for (const piece of splitter.split(chunk)) {
      isSkipped = false
      yield piece
    }
    // The next batch has the memory of the piece before this one, which must have been taken by then.
    if (isSkipped) yield EMPTY
  }
  splitter.assertEnd()
}

function isCompressionError(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' && (code.startsWith('Z_') || code.startsWith('ZSTD_'))
}
