/** Where the bytes of a disk come from. A reader may ask for any range; what lies outside of the disk is an error, never zeros. */
import type { FileHandle } from 'node:fs/promises'

import { CloisterError } from '@cloister/protocol/error'

export interface BlockSource {
  /** Of the disk that a guest sees, bytes. */
  readonly sizeBytes: number
  /** Exactly this range, in a buffer of its own. @throws CloisterError `disk-image.malformed` outside of the disk */
  read(offset: number, length: number): Promise<Buffer>
}

/** What one look at an image may cost. An image that wants more is made to cost. */
export interface ReadLimits {
  /** In all, bytes. */
  readonly totalBytes: number
  /** Number of reads. */
  readonly reads: number
  /** Ends the look, with its reason. */
  readonly signal: AbortSignal
}

export class RawSource implements BlockSource {
  readonly sizeBytes: number
  readonly #file: FileHandle

  constructor(file: FileHandle, sizeBytes: number) {
    this.#file = file
    this.sizeBytes = sizeBytes
  }

  async read(offset: number, length: number): Promise<Buffer> {
    checkRange(this, offset, length)
    const bytes = Buffer.alloc(length)
    for (let done = 0; done < length;) {
      const { bytesRead } = await this.#file.read(bytes, done, length - done, offset + done)
      if (bytesRead === 0) throw malformed('disk', 'it became shorter while it was read')
      done += bytesRead
    }
    return bytes
  }
}

/** Counts what is read of another source. */
export class LimitedSource implements BlockSource {
  readonly sizeBytes: number
  readonly #source: BlockSource
  readonly #limits: ReadLimits
  #bytes = 0
  #reads = 0

  constructor(source: BlockSource, limits: ReadLimits) {
    this.#source = source
    this.#limits = limits
    this.sizeBytes = source.sizeBytes
  }

  async read(offset: number, length: number): Promise<Buffer> {
    this.#limits.signal.throwIfAborted()
    this.#bytes += length
    this.#reads += 1
    if (this.#bytes > this.#limits.totalBytes || this.#reads > this.#limits.reads)
      throw new CloisterError('disk-image.too-much', { where: 'disk' })
    return this.#source.read(offset, length)
  }
}

/** A range of another source, such as a partition. */
export class SourceRange implements BlockSource {
  readonly sizeBytes: number
  readonly #source: BlockSource
  readonly #start: number

  constructor(source: BlockSource, start: number, sizeBytes: number) {
    checkRange(source, start, sizeBytes)
    this.#source = source
    this.#start = start
    this.sizeBytes = sizeBytes
  }

  async read(offset: number, length: number): Promise<Buffer> {
    checkRange(this, offset, length)
    return this.#source.read(this.#start + offset, length)
  }
}

export function malformed(where: string, why: string): CloisterError {
  return new CloisterError('disk-image.malformed', { where, why })
}

function checkRange({ sizeBytes }: BlockSource, offset: number, length: number): void {
  const fits =
    Number.isSafeInteger(offset) &&
    Number.isSafeInteger(length) &&
    offset >= 0 &&
    length >= 0 &&
    offset + length <= sizeBytes
  if (!fits) throw malformed('disk', `it refers to ${length} bytes at ${offset}, outside of itself`)
}
