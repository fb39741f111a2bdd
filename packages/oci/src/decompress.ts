/** Decompression of a layer while it is read: gzip with any number of members, zstd with any number of frames. */
import { constants, createGunzip, createZstdDecompress } from 'node:zlib'
import { CloisterError } from '@cloister/protocol/error'
import { releaseMemory } from './released-memory.ts'
import { ZstdFrameSplitter } from './zstd-frames.ts'
import type { Writable } from 'node:stream'
import type { Compression } from './media-types.ts'

/** Bytes a chunk of output. Each one is a round trip between two threads; larger ones fall out of the processor's cache (bench/oci-unpack.ts). */
const CHUNK_SIZE = 512 * 1024
/** Bytes of input at once, for the same reason: what comes from a network comes in pieces of 16 KiB. */
const BATCH_SIZE = 512 * 1024
/** Chunks that it makes ahead of their reader: without any, one side would always wait for the other. As objects, for else they were joined by copying. */
const AHEAD = { readableObjectMode: true, readableHighWaterMark: 4 }
/** log2 of the window that a zstd frame may ask for: 32 MiB. Levels up to 21 stay below; only `--ultra -22` and `--long` ask for more. */
const ZSTD_WINDOW_LOG_MAX = 25

/** A chunk is valid only until the next is asked for. Throws `image.layer-malformed` for broken compression; errors of the input pass unchanged. */
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
  const batches = inBatches(input)
  void feed(compression === 'zstd' ? splitFrames(batches) : batches, decompressor)
  try {
    yield* releasingFull(decompressor as AsyncIterable<Buffer<ArrayBuffer>>)
  } catch (error) {
    throw isCompressionError(error)
      ? new CloisterError('image.layer-malformed', {
          why: `its ${compression} data is broken`,
          cause: error,
        })
      : error
  } finally {
    decompressor.destroy()
  }
}

/**
 * Gives the memory of chunks back. Node's decompressors go on in the same memory until that is full, and then never come back to it.
 *
 * @throws TypeError when one does come back, which no Node so far does: nothing of it was read then, for a layer must be whole
 */
export async function* releasingFull(
  chunks: AsyncIterable<Buffer<ArrayBuffer>>,
): AsyncGenerator<Buffer<ArrayBuffer>> {
  for await (const chunk of chunks) {
    if (chunk.buffer.detached) throw new TypeError('a decompressor wrote into memory given back')
    yield chunk
    if (chunk.byteOffset + chunk.length === chunk.buffer.byteLength) releaseMemory(chunk.buffer)
  }
}

/** Writes one piece while the next is fetched. Never rejects: a failure of the input becomes the decompressor's. */
async function feed(input: AsyncIterable<Uint8Array>, decompressor: Writable): Promise<void> {
  try {
    let isTaken = Promise.resolve()
    for await (const piece of input) {
      await isTaken
      if (decompressor.destroyed) return
      if (piece.length === 0) continue
      isTaken = new Promise((resolve) => decompressor.write(piece, () => resolve()))
    }
    await isTaken
    decompressor.end()
  } catch (error) {
    decompressor.destroy(error as Error)
  }
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
}

function isCompressionError(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' && (code.startsWith('Z_') || code.startsWith('ZSTD_'))
}
