/** One of Node's decompressors, from pieces of compressed bytes to chunks. What follows the end of its data is left in the input. */
import { releaseMemory } from './released-memory.ts'
import type { Gunzip, InflateRaw, ZstdDecompress } from 'node:zlib'
import type { PieceReader } from './piece-reader.ts'

export const DECOMPRESSOR_OPTIONS = {
  /** Bytes a chunk of output. Each one is a round trip between two threads; larger ones fall out of the processor's cache (bench/oci-unpack.ts). */
  chunkSize: 512 * 1024,
  /** Chunks are made ahead of their reader: without any, one side would always wait for the other. As objects, for else they were joined by copying. */
  readableObjectMode: true,
  readableHighWaterMark: 4,
}

type Decompressor = Gunzip | InflateRaw | ZstdDecompress

/** A chunk is valid only until the next is asked for. Throws what the decompressor throws, and errors of the input unchanged. */
export async function* through(
  pieces: PieceReader,
  decompressor: Decompressor,
): AsyncGenerator<Buffer<ArrayBuffer>> {
  const feeding = feed(pieces, decompressor)
  feeding.catch((error: unknown) => decompressor.destroy(error as Error))
  // Nobody listens any more when the input fails after the end of the data, and the process would end: `await feeding` tells it.
  decompressor.on('error', () => undefined)
  // What was not read must still be given back then: the stream is destroyed below, not by the iterator.
  const chunks = decompressor.iterator({ destroyOnReturn: false })
  try {
    yield* releasingFull(chunks as AsyncIterable<Buffer<ArrayBuffer>>)
    await feeding
  } finally {
    decompressor.destroy()
  }
}

/** Writes one piece while the next is fetched. */
async function feed(pieces: PieceReader, decompressor: Decompressor): Promise<void> {
  let written = 0
  let piece = await pieces.next()
  while (piece !== undefined) {
    const taking = write(decompressor, piece)
    written += piece.length
    const next = await pieces.next()
    await taking
    if (decompressor.destroyed) return
    const left = written - decompressor.bytesWritten
    if (left > 0) {
      if (next !== undefined) pieces.giveBack(next)
      pieces.giveBack(piece.subarray(piece.length - left))
      return
    }
    piece = next
  }
  decompressor.end()
}

async function write(decompressor: Decompressor, piece: Uint8Array): Promise<void> {
  if (piece.length === 0) return
  await new Promise<void>((resolve) => decompressor.write(piece, () => resolve()))
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
