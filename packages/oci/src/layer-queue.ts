/**
 * Layers are applied in order but fetched in parallel. The first one streams straight through; the beginnings of those behind it are spooled to
 * files beside the staging directory, as they come from the source. From its turn on a layer streams straight through too: what is spooled is written
 * and read once more than the rest, in a guest with encryption each time. So memory and disk stay bounded whatever the layers' sizes.
 */
import { createReadStream } from 'node:fs'
import { open, unlink } from 'node:fs/promises'
import type { ImageSource } from './image-source.ts'
import type { Descriptor } from './manifest.ts'

export interface FetchOptions {
  /** Blobs in flight at once, at least 1. */
  readonly concurrency: number
  /** Directory for blobs that wait. */
  readonly spool: string
  /** Bytes of a blob that are spooled before its turn. Absent: 32 MiB. */
  readonly spoolBytes?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** Bytes read at once from a spooled blob. */
const READ_SIZE = 64 * 1024
const DEFAULT_SPOOL_BYTES = 32 << 20

/**
 * The blobs in the order of the descriptors; each must be read before the next is asked for. What is spooled is not checked: the
 * reader of the blob checks it, and stops it at its declared size. Ends the fetches that are under way when the loop is left.
 */
export async function* fetchInOrder(
  source: ImageSource,
  descriptors: readonly Descriptor[],
  { concurrency, spool, signal, spoolBytes = DEFAULT_SPOOL_BYTES }: FetchOptions,
): AsyncGenerator<AsyncIterable<Uint8Array>> {
  const stop = new AbortController()
  const combined = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal])
  const waiting = new Map<number, SpooledBlob>()
  let next = 1
  try {
    for (const [index, descriptor] of descriptors.entries()) {
      while (next < descriptors.length && next < index + concurrency) {
        if (next > index) {
          const blob = descriptors[next]!
          const start = () => source.blob(blob, combined)
          waiting.set(next, new SpooledBlob(start, `${spool}/${next}`, spoolBytes))
        }
        next++
      }
      yield waiting.get(index)?.read() ?? source.blob(descriptor, combined)
      waiting.delete(index)
    }
  } finally {
    stop.abort()
    await Promise.allSettled([...waiting.values()].map((blob) => blob.settled))
  }
}

/** A blob whose beginning goes to a file until its turn comes. */
class SpooledBlob {
  readonly #start: () => AsyncIterable<Uint8Array>
  readonly #file: string
  readonly #spoolBytes: number
  readonly #filled: Promise<AsyncIterator<Uint8Array> | 'whole' | 'full'>
  #bytes = 0
  #isTurn = false

  /** @param start - begins to fetch; called again for the rest of a blob that is longer than `spoolBytes` */
  constructor(start: () => AsyncIterable<Uint8Array>, file: string, spoolBytes: number) {
    this.#start = start
    this.#file = file
    this.#spoolBytes = spoolBytes
    this.#filled = this.#fill()
    // It is awaited when its turn comes; until then a failure must not count as unhandled.
    this.#filled.catch(() => undefined)
  }

  /** When nothing more is written. */
  get settled(): Promise<unknown> {
    return this.#filled
  }

  async *read(): AsyncGenerator<Uint8Array> {
    this.#isTurn = true
    const rest = await this.#filled
    yield* createReadStream(this.#file, { highWaterMark: READ_SIZE })
    await unlink(this.#file)
    if (rest === 'whole') return
    if (rest === 'full') yield* skip(this.#start(), this.#bytes)
    else yield* { [Symbol.asyncIterator]: () => rest }
  }

  /** @returns what comes after the file: nothing, what is under way, or all that a new request gives beyond it */
  async #fill(): Promise<AsyncIterator<Uint8Array> | 'whole' | 'full'> {
    const blob = this.#start()[Symbol.asyncIterator]()
    await using file = await open(this.#file, 'wx', 0o600)
    while (!this.#isTurn) {
      // A connection that is left alone for minutes would be closed by its other side.
      if (this.#bytes >= this.#spoolBytes) {
        await blob.return?.()
        return 'full'
      }
      const step = await blob.next()
      if (step.done === true) return 'whole'
      await file.writeFile(step.value)
      this.#bytes += step.value.length
    }
    return blob
  }
}

/** All but the first bytes. The reader checks the whole by its digest, so that two answers that differ are found. */
async function* skip(blob: AsyncIterable<Uint8Array>, bytes: number): AsyncGenerator<Uint8Array> {
  let left = bytes
  for await (const chunk of blob) {
    const skipped = Math.min(left, chunk.length)
    left -= skipped
    if (skipped < chunk.length) yield chunk.subarray(skipped)
  }
}
