/**
 * A folder of records: one sub-folder for each, named by its id, that counts from the moment its record file is there and counts no more once
 * it is renamed away. What a crash left half made or half removed is cleared when it is read.
 */
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { syncFolder } from '@cloister/protocol/replace-file'
import { spaceError, writeDurably } from './durable-file.ts'

export interface FoundRecord {
  readonly id: string
  readonly bytes: Uint8Array
}

export class RecordFolder {
  readonly #root: string
  readonly #file: string

  /**
   * @param root - made when absent
   * @param file - name of the record in each sub-folder
   */
  constructor(root: string, file: string) {
    this.#root = root
    this.#file = file
  }

  folder(id: string): string {
    return join(this.#root, id)
  }

  async load(): Promise<readonly FoundRecord[]> {
    await mkdir(this.#root, { recursive: true, mode: 0o700 })
    const found: FoundRecord[] = []
    for (const id of await readdir(this.#root)) {
      const isId = /^[0-9a-f]{12}$/.test(id)
      const bytes = isId ? await readIfThere(join(this.folder(id), this.#file)) : undefined
      if (bytes === undefined) await rm(this.folder(id), { recursive: true, force: true })
      else found.push({ id, bytes })
    }
    return found
  }

  /**
   * Makes the folder of a new record.
   *
   * @param fill - makes what lies beside the record, before that is written
   * @throws what `fill` throws, CloisterError `host.disk-full`; nothing is left then
   */
  async create(id: string, record: object, fill: (folder: string) => Promise<void>): Promise<void> {
    const folder = this.folder(id)
    try {
      await mkdir(folder, { mode: 0o700 })
      await fill(folder)
      await this.save(id, record)
      await syncFolder(this.#root)
    } catch (error) {
      await rm(folder, { recursive: true, force: true })
      throw spaceError(error, folder)
    }
  }

  async save(id: string, record: object): Promise<void> {
    await writeDurably(join(this.folder(id), this.#file), JSON.stringify(record))
  }

  async remove(id: string): Promise<void> {
    const doomed = join(this.#root, `${id}.removed`)
    await rename(this.folder(id), doomed)
    await syncFolder(this.#root)
    await rm(doomed, { recursive: true, force: true })
  }
}

/** Absent: there is no such file. */
export async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
