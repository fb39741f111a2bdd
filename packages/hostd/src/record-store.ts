/** The folder of workloads: one sub-folder for each, named by its id. */
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { spaceError, syncFolder, writeDurably } from './durable-file.ts'
import { WorkloadRecordSchema, type WorkloadRecord } from './record.ts'

/** What {@link RecordStore.load} found: records that can be read, and ids of folders that cannot. */
export interface LoadedRecords {
  readonly records: readonly WorkloadRecord[]
  readonly unreadable: readonly string[]
}

export class RecordStore {
  readonly #root: string

  /** @param root - `<home>/hostd/workloads`; made when absent */
  constructor(root: string) {
    this.#root = root
  }

  /** The folder of a workload. */
  folder(id: string): string {
    return join(this.#root, id)
  }

  /**
   * Reads all records and clears what a crash left half made or half removed: a folder is a workload
   * once its `workload.json` exists, and is none any more once it is renamed away.
   */
  async load(): Promise<LoadedRecords> {
    await mkdir(this.#root, { recursive: true, mode: 0o700 })
    const records: WorkloadRecord[] = []
    const unreadable: string[] = []
    for (const name of await readdir(this.#root)) {
      const folder = join(this.#root, name)
      if (!/^[0-9a-f]{12}$/.test(name)) {
        await rm(folder, { recursive: true, force: true })
        continue
      }
      const text = await readText(join(folder, 'workload.json'))
      if (text === undefined) {
        await rm(folder, { recursive: true, force: true })
        continue
      }
      const record = parseRecord(text)
      if (record?.view.id === name) records.push(record)
      else unreadable.push(name)
    }
    return { records, unreadable }
  }

  /** Makes the folder of a new workload; it counts from the moment its record is there. */
  async create(record: WorkloadRecord, initdata: Uint8Array): Promise<void> {
    const folder = this.folder(record.view.id)
    try {
      await mkdir(folder, { mode: 0o700 })
      await writeDurably(join(folder, 'initdata.toml'), initdata)
      await this.save(record)
      await syncFolder(this.#root)
    } catch (error) {
      await rm(folder, { recursive: true, force: true })
      throw spaceError(error, folder)
    }
  }

  async save(record: WorkloadRecord): Promise<void> {
    await writeDurably(join(this.folder(record.view.id), 'workload.json'), JSON.stringify(record))
  }

  async initdata(id: string): Promise<Uint8Array> {
    return readFile(join(this.folder(id), 'initdata.toml'))
  }

  /** Removes a workload's folder; a crash in between leaves a folder that the next {@link load} clears. */
  async remove(id: string): Promise<void> {
    const doomed = join(this.#root, `${id}.removed`)
    await rename(this.folder(id), doomed)
    await syncFolder(this.#root)
    await rm(doomed, { recursive: true, force: true })
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function parseRecord(text: string): WorkloadRecord | undefined {
  try {
    return WorkloadRecordSchema.parse(JSON.parse(text))
  } catch {
    return undefined
  }
}
