/** What the uncompressed bytes of a layer go through: its diff_id, its tar archive, the root file system. */
import { DigestCheck } from './digest.ts'
import { RootfsWriter, type RootfsWriterOptions } from './rootfs-writer.ts'
import { TarReader } from './tar-reader.ts'

export interface LayerTarget extends RootfsWriterOptions {
  /** Absolute path of the directory that becomes the root file system. */
  readonly rootfs: string
  /** The layer's descriptor, for messages. */
  readonly digest: string
  /** Digest of the uncompressed tar. */
  readonly diffId: string
}

export class LayerUnpacker implements Disposable {
  readonly #target: LayerTarget
  readonly #diffId: DigestCheck
  readonly #writer: RootfsWriter
  readonly #tar: TarReader

  constructor(target: LayerTarget) {
    this.#target = target
    this.#diffId = new DigestCheck(target.diffId)
    this.#writer = new RootfsWriter(target.rootfs, target)
    this.#tar = new TarReader(this.#writer)
  }

  write(chunk: Uint8Array): void {
    this.#diffId.update(chunk)
    this.#tar.write(chunk)
  }

  /** Returns only when every check has passed. */
  end(): void {
    this.#diffId.verify(this.#target.digest, 'image.diff-id-mismatch')
    this.#tar.end()
    this.#writer.finish()
  }

  [Symbol.dispose](): void {
    this.#writer[Symbol.dispose]()
  }
}
