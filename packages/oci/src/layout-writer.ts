/** Writes an OCI image layout. Each file appears whole or not at all, so that a kill leaves a layout that can be read. */
import { randomBytes } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { access, mkdir, readFile, rename, rm } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { replaceFile } from '@cloister/protocol/replace-file'
import { splitDigest } from './digest.ts'
import { BlobMeter, oneChunk, type ImageSink } from './image-sink.ts'
import { REF_NAME } from './layout.ts'
import { parseIndex, type Descriptor, type IndexEntry } from './manifest.ts'
import { MEDIA_TYPES } from './media-types.ts'

export class LayoutWriter implements ImageSink {
  readonly name: string
  readonly directory: string

  private constructor(directory: string) {
    this.directory = directory
    this.name = `oci:${directory}`
  }

  /** Opens the layout, or makes one where the directory is new or empty. */
  static async open(directory: string): Promise<LayoutWriter> {
    const writer = new LayoutWriter(resolve(directory))
    await mkdir(`${writer.directory}/blobs/sha256`, { recursive: true })
    const version = JSON.stringify({ imageLayoutVersion: '1.0.0' })
    await replaceFile(`${writer.directory}/oci-layout`, version, 0o644)
    await writer.#writeIndex(await writer.#entries())
    return writer
  }

  async hasBlob(digest: string): Promise<boolean> {
    return access(this.#blobPath(digest)).then(
      () => true,
      () => false,
    )
  }

  async putBlob(content: AsyncIterable<Uint8Array>): Promise<{ digest: string; size: number }> {
    const temporary = `${this.directory}/blobs/.${randomBytes(8).toString('hex')}`
    const meter = new BlobMeter()
    try {
      await pipeline(
        Readable.from(meter.measure(content)),
        createWriteStream(temporary, { flags: 'wx' }),
      )
      const blob = meter.result()
      await rename(temporary, this.#blobPath(blob.digest))
      return blob
    } finally {
      await rm(temporary, { force: true })
    }
  }

  /** Without a tag it lies there as a blob only. A tag moves from the document that had it. */
  async putDocument(bytes: Uint8Array, mediaType: string, tag?: string): Promise<Descriptor> {
    const descriptor = { mediaType, ...(await this.putBlob(oneChunk(bytes))) }
    if (tag !== undefined) await this.#tag(tag, descriptor)
    return descriptor
  }

  async #tag(tag: string, descriptor: Descriptor): Promise<void> {
    const others = (await this.#entries()).filter(
      ({ annotations }) => annotations?.[REF_NAME] !== tag,
    )
    await this.#writeIndex([...others, { ...descriptor, annotations: { [REF_NAME]: tag } }])
  }

  async #entries(): Promise<IndexEntry[]> {
    let bytes: Uint8Array
    try {
      bytes = await readFile(`${this.directory}/index.json`)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw error
    }
    return parseIndex(bytes).manifests
  }

  async #writeIndex(manifests: readonly IndexEntry[]): Promise<void> {
    const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests }
    await replaceFile(`${this.directory}/index.json`, JSON.stringify(index), 0o644)
  }

  #blobPath(digest: string): string {
    const { algorithm, hex } = splitDigest(digest)
    return `${this.directory}/blobs/${algorithm}/${hex}`
  }
}
