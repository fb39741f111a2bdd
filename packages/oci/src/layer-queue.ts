/**
 * Layers are applied in order but fetched in parallel. The first one streams straight through; those behind it are spooled to files beside
 * the staging directory, as they come from the source, so that memory stays bounded whatever their size.
 */
import { createReadStream, createWriteStream } from 'node:fs'
import { unlink } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ImageSource } from './image-source.ts'
import type { Descriptor } from './manifest.ts'

export interface FetchOptions {
  /** Blobs in flight at once, at least 1. */
  readonly concurrency: number
  /** Directory for blobs that wait. */
  readonly spool: string
  readonly signal?: AbortSignal | undefined
}

/** Bytes read at once from a spooled blob. */
const READ_SIZE = 64 * 1024

/**
 * The blobs in the order of the descriptors; each must be read before the next is asked for. What is spooled is not checked: the
 * reader of the blob checks it, and stops it at its declared size. Ends the fetches that are under way when the loop is left.
 */
export async function* fetchInOrder(
  source: ImageSource,
  descriptors: readonly Descriptor[],
  { concurrency, spool, signal }: FetchOptions,
): AsyncGenerator<AsyncIterable<Uint8Array>> {
  const stop = new AbortController()
  const combined = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal])
  const spooled = new Map<number, Promise<string>>()
  let next = 1
  try {
    for (const [index, descriptor] of descriptors.entries()) {
      while (next < descriptors.length && next < index + concurrency) {
        if (next > index)
          spooled.set(next, spoolBlob(source, descriptors[next]!, `${spool}/${next}`, combined))
        next++
      }
      const waiting = spooled.get(index)
      if (waiting === undefined) yield source.blob(descriptor, combined)
      else yield spooledBlob(await waiting)
      spooled.delete(index)
    }
  } finally {
    stop.abort()
    await Promise.allSettled(spooled.values())
  }
}

function spoolBlob(
  source: ImageSource,
  descriptor: Descriptor,
  file: string,
  signal: AbortSignal,
): Promise<string> {
  const write = pipeline(
    Readable.from(source.blob(descriptor, signal)),
    createWriteStream(file, { flags: 'wx', mode: 0o600 }),
    { signal },
  ).then(() => file)
  // It is awaited when its turn comes; until then a failure must not count as unhandled.
  write.catch(() => undefined)
  return write
}

async function* spooledBlob(file: string): AsyncGenerator<Uint8Array> {
  yield* createReadStream(file, { highWaterMark: READ_SIZE })
  await unlink(file)
}
