/** What the uncompressed bytes of a layer become: entries of its tar archive, and those a root file system. */
import { RootfsWriter, type RootfsWriterOptions } from './rootfs-writer.ts'
import { TarReader } from './tar-reader.ts'

export interface LayerTarget extends RootfsWriterOptions {
  /** Absolute path of the directory that becomes the root file system. */
  readonly rootfs: string
}

export class LayerUnpacker implements Disposable {
  readonly #writer: RootfsWriter
  readonly #tar: TarReader

  constructor(target: LayerTarget) {
    this.#writer = new RootfsWriter(target.rootfs, target)
    this.#tar = new TarReader(this.#writer)
  }

  write(chunk: Uint8Array): void {
    this.#tar.write(chunk)
  }

  /**
   * Returns only when the archive was whole.
   *
   * @returns the extended attributes that are still to be set, for `set-xattrs`
   */
  end(): Uint8Array {
    this.#tar.end()
    return this.#writer.finish()
  }

  [Symbol.dispose](): void {
    this.#writer[Symbol.dispose]()
  }
}
