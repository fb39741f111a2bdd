/** Where an image is written: a layout directory or a registry. */
import { createHash } from 'node:crypto'
import { DigestCheck } from './digest.ts'
import type { ImageSource } from './image-source.ts'
import type { Descriptor } from './manifest.ts'

export interface ImageSink {
  readonly name: string
  hasBlob(digest: string): Promise<boolean>
  /** Stores bytes whose digest is known only after them. */
  putBlob(content: AsyncIterable<Uint8Array>): Promise<{ digest: string; size: number }>
  /** Stores a manifest or index, under a tag when one is given. */
  putDocument(bytes: Uint8Array, mediaType: string, tag?: string): Promise<Descriptor>
}

/** Stores a value as JSON blob. */
export async function putJsonBlob(
  sink: ImageSink,
  mediaType: string,
  value: unknown,
): Promise<Descriptor> {
  const bytes = Buffer.from(JSON.stringify(value))
  return { mediaType, ...(await sink.putBlob(oneChunk(bytes))) }
}

/** Copies a blob unless it is there already; throws `image.digest-mismatch` when the source gives other bytes. */
export async function copyBlob(
  source: ImageSource,
  sink: ImageSink,
  descriptor: Descriptor,
  signal?: AbortSignal,
): Promise<void> {
  if (await sink.hasBlob(descriptor.digest)) return
  await sink.putBlob(checkedBlob(source, descriptor, signal))
}

/** The blob's bytes; ends with an error instead of its last step when the digest is another. */
export async function* checkedBlob(
  source: ImageSource,
  descriptor: Descriptor,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const check = new DigestCheck(descriptor.digest)
  for await (const chunk of source.blob(descriptor, signal)) {
    check.update(chunk)
    yield chunk
  }
  check.verify(`${source.name} ${descriptor.digest}`)
}

export async function* oneChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

/** Digest and size of what passes through. */
export class BlobMeter {
  readonly #hash = createHash('sha256')
  #size = 0

  async *measure(content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of content) {
      this.#hash.update(chunk)
      this.#size += chunk.length
      yield chunk
    }
  }

  /** To be called once, after the end. */
  result(): { digest: string; size: number } {
    return { digest: `sha256:${this.#hash.digest('hex')}`, size: this.#size }
  }
}
