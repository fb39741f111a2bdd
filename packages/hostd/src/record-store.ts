/** The folder of workloads: one sub-folder for each, named by its id. */
import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { spaceError, syncFolder, writeDurably } from './durable-file.ts'
import { WorkloadRecordSchema, type WorkloadRecord } from './record.ts'

export interface StoredWorkload {
  readonly record: WorkloadRecord
  /** The exact bytes. */
  readonly initdata: Uint8Array
}

/** What {@link RecordStore.load} found: workloads that can be read, and ids of those that cannot. */
export interface LoadedWorkloads {
  readonly workloads: readonly StoredWorkload[]
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
  async load(): Promise<LoadedWorkloads> {
    await mkdir(this.#root, { recursive: true, mode: 0o700 })
    const workloads: StoredWorkload[] = []
    const unreadable: string[] = []
    for (const name of await readdir(this.#root)) {
      const folder = join(this.#root, name)
      if (!/^[0-9a-f]{12}$/.test(name)) {
        await rm(folder, { recursive: true, force: true })
        continue
      }
      const record = await readIfThere(join(folder, 'workload.json'))
      if (record === undefined) {
        await rm(folder, { recursive: true, force: true })
        continue
      }
      const initdata = await readIfThere(join(folder, 'initdata.toml'))
      const workload = parseStored(name, record, initdata)
      if (workload === undefined) unreadable.push(name)
      else workloads.push(workload)
    }
    return { workloads, unreadable }
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

  /** Removes a workload's folder; a crash in between leaves a folder that the next {@link load} clears. */
  async remove(id: string): Promise<void> {
    const doomed = join(this.#root, `${id}.removed`)
    await rename(this.folder(id), doomed)
    await syncFolder(this.#root)
    await rm(doomed, { recursive: true, force: true })
  }
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Absent: the files are not those that hostd wrote for this id. */
function parseStored(
  id: string,
  bytes: Uint8Array,
  initdata: Uint8Array | undefined,
): StoredWorkload | undefined {
  let record: WorkloadRecord
  try {
    record = WorkloadRecordSchema.parse(JSON.parse(Buffer.from(bytes).toString('utf8')))
  } catch {
    return undefined
  }
  const { view } = record
  if (initdata === undefined || view.id !== id || digestOf(initdata) !== view.initdataDigest)
    return undefined
  return { record, initdata }
}

function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
