/** An image store in memory for tests: source and sink in one, whose contents a test may falsify. */
import { sha256Digest } from '../src/digest.ts'
import type { ImageSink } from '../src/image-sink.ts'
import type { ImageSource } from '../src/image-source.ts'
import type { Descriptor } from '../src/manifest.ts'

export class MemoryImage implements ImageSource, ImageSink {
  readonly name = 'memory'
  /** By digest; what a test puts here need not have that digest. */
  readonly blobs = new Map<string, Uint8Array>()
  readonly tags = new Map<string, string>()
  /** Digests in the order in which they were asked for. */
  readonly asked: string[] = []

  async document(reference: string): Promise<Uint8Array | undefined> {
    return this.blobs.get(this.tags.get(reference) ?? reference)
  }

  /** In small pieces, so that boundaries fall everywhere. */
  async *blob({ digest }: Pick<Descriptor, 'digest' | 'size'>): AsyncGenerator<Uint8Array> {
    this.asked.push(digest)
    const bytes = this.blobs.get(digest) ?? Buffer.alloc(0)
    for (let offset = 0; offset < bytes.length; offset += 1021)
      yield bytes.subarray(offset, offset + 1021)
  }

  async hasBlob(digest: string): Promise<boolean> {
    return this.blobs.has(digest)
  }

  async putBlob(content: AsyncIterable<Uint8Array>): Promise<{ digest: string; size: number }> {
    const chunks: Uint8Array[] = []
    for await (const chunk of content) chunks.push(chunk)
    const bytes = Buffer.concat(chunks)
    const digest = sha256Digest(bytes)
    this.blobs.set(digest, bytes)
    return { digest, size: bytes.length }
  }

  async putDocument(bytes: Uint8Array, mediaType: string, tag?: string): Promise<Descriptor> {
    const digest = sha256Digest(bytes)
    this.blobs.set(digest, bytes)
    if (tag !== undefined) this.tags.set(tag, digest)
    return { mediaType, digest, size: bytes.length }
  }

  /** Puts a changed manifest under its own digest, which it returns. */
  changed(digest: string, change: (manifest: ChangeableManifest) => void): string {
    const manifest = JSON.parse(
      Buffer.from(this.blobs.get(digest)!).toString(),
    ) as ChangeableManifest
    change(manifest)
    const bytes = Buffer.from(JSON.stringify(manifest))
    this.blobs.set(sha256Digest(bytes), bytes)
    return sha256Digest(bytes)
  }
}

export interface ChangeableManifest {
  mediaType?: string
  config: Changeable<Descriptor>
  layers: Changeable<Descriptor>[]
}

type Changeable<T> = { -readonly [K in keyof T]: T[K] }
