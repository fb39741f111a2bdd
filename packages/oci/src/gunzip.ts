/**
 * gzip with any number of members (RFC 1952). The CRC-32 of the first one, which is all of most layers, is not computed, as 2.3.1.2 allows: it costs a
 * sixth of inflating, and the diff_id, SHA-256 of the same bytes, is checked in any case.
 */
import { createGunzip, createInflateRaw } from 'node:zlib'
import { CloisterError } from '@cloister/protocol/error'
import { DECOMPRESSOR_OPTIONS, through } from './decompressor.ts'
import type { PieceReader } from './piece-reader.ts'

/** ID1, ID2, CM (deflate) and FLG of a header that ends after its fixed fields, as writers of images make it. */
const PLAIN_HEADER_START = Buffer.from([0x1f, 0x8b, 8, 0])
const HEADER_SIZE = 10
/** CRC32 and ISIZE, the length modulo 2^32. */
const TRAILER_SIZE = 8

export async function* gunzip(pieces: PieceReader): AsyncGenerator<Buffer<ArrayBuffer>> {
  const header = await pieces.take(HEADER_SIZE)
  if (header.subarray(0, PLAIN_HEADER_START.length).equals(PLAIN_HEADER_START)) {
    yield* inflateMember(pieces)
    if (await pieces.isAtEnd()) return
  } else pieces.giveBack(header)
  yield* through(pieces, createGunzip(DECOMPRESSOR_OPTIONS))
}

async function* inflateMember(pieces: PieceReader): AsyncGenerator<Buffer<ArrayBuffer>> {
  let length = 0
  for await (const chunk of through(pieces, createInflateRaw(DECOMPRESSOR_OPTIONS))) {
    length += chunk.length
    yield chunk
  }
  const trailer = await pieces.take(TRAILER_SIZE)
  if (trailer.length < TRAILER_SIZE || trailer.readUInt32LE(4) !== length % 2 ** 32)
    throw new CloisterError('image.layer-malformed', {
      why: 'its gzip data does not end with its length',
    })
}
