/**
 * Cuts a zstd stream at the ends of its frames (RFC 8878, 3.1), for Node's decompressor drops what follows a frame within one chunk,
 * and a layer may have thousands of frames (zstd:chunked). Skippable frames are left out. Reads headers only; the decompressor checks the rest.
 */
import { CloisterError } from '@cloister/protocol/error'

const FRAME_MAGIC = 0xfd2fb528
const SKIPPABLE_MAGIC = 0x184d2a50
const DICTIONARY_ID_SIZES = [0, 1, 2, 4] as const
const CONTENT_SIZE_SIZES = [0, 2, 4, 8] as const
const MAGIC_SIZE = 4
const CHECKSUM_SIZE = 4
const RLE_BLOCK = 1

type Part =
  | 'magic'
  | 'skippable-size'
  | 'skippable'
  | 'descriptor'
  | 'header'
  | 'block-header'
  | 'block'
  | 'checksum'

/** Parts whose bytes are read; the others are only counted. */
const READ_SIZES: Partial<Record<Part, number>> = {
  magic: MAGIC_SIZE,
  'skippable-size': 4,
  descriptor: 1,
  'block-header': 3,
}

export class ZstdFrameSplitter {
  #part: Part = 'magic'
  #left = MAGIC_SIZE
  /** Little-endian value of the part that is being read. */
  #value = 0
  #shift = 0
  #hasChecksum = false
  #isLastBlock = false
  /** The magic number, held back until it is known whether its frame is to be skipped. */
  #held: Uint8Array[] = []

  #begin(part: Part, size: number): void {
    this.#part = part
    this.#left = size
    this.#value = 0
    this.#shift = 0
  }

  /** The chunk in pieces, none of which reaches over the end of a frame. */
  *split(chunk: Uint8Array): Generator<Uint8Array> {
    let start = 0
    let offset = 0
    while (offset < chunk.length) {
      const before = this.#part
      offset = this.#take(chunk, offset)
      const isSkipped = before === 'skippable' || before === 'skippable-size'
      if (before === 'magic') yield* this.#magic(chunk.slice(start, offset))
      // The part is the magic number again when the last byte of a frame was taken.
      else if (!isSkipped && this.#part === 'magic') yield chunk.subarray(start, offset)
      if (before === 'magic' || isSkipped || this.#part === 'magic') start = offset
    }
    if (start < chunk.length) yield chunk.subarray(start)
  }

  /** @throws CloisterError `image.layer-malformed` within a frame: not each of Node's decompressors says so */
  assertEnd(): void {
    if (this.#part !== 'magic' || this.#left !== MAGIC_SIZE)
      throw new CloisterError('image.layer-malformed', { why: 'its zstd data ends within a frame' })
  }

  /** Holds the bytes of the magic number back until the frame turns out to be one that is kept. */
  *#magic(bytes: Uint8Array): Generator<Uint8Array> {
    this.#held.push(bytes)
    if (this.#part === 'magic') return
    if (this.#part === 'descriptor') yield Buffer.concat(this.#held)
    this.#held = []
  }

  #take(chunk: Uint8Array, offset: number): number {
    const end = Math.min(chunk.length, offset + this.#left)
    if (READ_SIZES[this.#part] !== undefined)
      for (let index = offset; index < end; index++, this.#shift += 8)
        this.#value += chunk[index]! * 2 ** this.#shift
    this.#left -= end - offset
    while (this.#left === 0) this.#next()
    return end
  }

  #next(): void {
    const value = this.#value
    switch (this.#part) {
      case 'magic':
        if (value === FRAME_MAGIC) return this.#begin('descriptor', 1)
        if ((value & 0xffff_fff0) >>> 0 === SKIPPABLE_MAGIC) return this.#begin('skippable-size', 4)
        throw new CloisterError('image.layer-malformed', { why: 'a layer is not zstd' })
      case 'skippable-size':
        return value === 0 ? this.#begin('magic', MAGIC_SIZE) : this.#begin('skippable', value)
      case 'descriptor':
        return this.#begin('header', this.#headerSize(value))
      case 'header':
        return this.#begin('block-header', 3)
      case 'block-header':
        this.#isLastBlock = (value & 1) === 1
        return this.#begin('block', ((value >> 1) & 3) === RLE_BLOCK ? 1 : value >> 3)
      case 'block':
        if (!this.#isLastBlock) return this.#begin('block-header', 3)
        return this.#hasChecksum
          ? this.#begin('checksum', CHECKSUM_SIZE)
          : this.#begin('magic', MAGIC_SIZE)
      case 'skippable':
      case 'checksum':
        return this.#begin('magic', MAGIC_SIZE)
    }
  }

  /** Bytes of the frame header after the descriptor. */
  #headerSize(descriptor: number): number {
    const isSingleSegment = (descriptor & 0x20) !== 0
    this.#hasChecksum = (descriptor & 0x04) !== 0
    const contentSize =
      descriptor >> 6 === 0 && isSingleSegment ? 1 : CONTENT_SIZE_SIZES[(descriptor >> 6) as 0]
    return (isSingleSegment ? 0 : 1) + DICTIONARY_ID_SIZES[(descriptor & 3) as 0] + contentSize
  }
}
