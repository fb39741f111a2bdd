/** A root whose `/boot` is a file system of its own, as distributions with an "extended boot" partition have it. */
import type { DirectoryEntry, DiskFiles } from './disk-files.ts'
import { pathParts } from './disk-files.ts'

export class BootMounted implements DiskFiles {
  readonly kind: string
  readonly #root: DiskFiles
  readonly #boot: DiskFiles

  constructor(root: DiskFiles, boot: DiskFiles) {
    this.kind = root.kind
    this.#root = root
    this.#boot = boot
  }

  async list(path: string): Promise<readonly DirectoryEntry[]> {
    const [files, rest] = this.#place(path)
    return files.list(rest)
  }

  async read(path: string, maxBytes?: number): Promise<Buffer> {
    const [files, rest] = this.#place(path)
    return files.read(rest, maxBytes)
  }

  async extract(path: string, to: string): Promise<number> {
    const [files, rest] = this.#place(path)
    return files.extract(rest, to)
  }

  async has(path: string): Promise<boolean> {
    const [files, rest] = this.#place(path)
    return files.has(rest)
  }

  #place(path: string): [DiskFiles, string] {
    const [first, ...rest] = pathParts(path)
    return first === 'boot' ? [this.#boot, `/${rest.join('/')}`] : [this.#root, path]
  }
}
