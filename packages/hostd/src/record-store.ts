/** The folder of workloads: one sub-folder for each, named by its id. */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { writeDurably } from './durable-file.ts'
import { readIfThere, RecordFolder } from './record-folder.ts'
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
  readonly #folder: RecordFolder

  /** @param root - `<home>/hostd/workloads`; made when absent */
  constructor(root: string) {
    this.#folder = new RecordFolder(root, 'workload.json')
  }

  /** The folder of a workload. */
  folder(id: string): string {
    return this.#folder.folder(id)
  }

  /** Reads all records and clears what a crash left half made or half removed. */
  async load(): Promise<LoadedWorkloads> {
    const workloads: StoredWorkload[] = []
    const unreadable: string[] = []
    for (const { id, bytes } of await this.#folder.load()) {
      const initdata = await readIfThere(join(this.folder(id), 'initdata.toml'))
      const workload = parseStored(id, bytes, initdata)
      if (workload === undefined) unreadable.push(id)
      else workloads.push(workload)
    }
    return { workloads, unreadable }
  }

  /** Makes the folder of a new workload; it counts from the moment its record is there. */
  async create(record: WorkloadRecord, initdata: Uint8Array): Promise<void> {
    await this.#folder.create(record.view.id, record, (folder) =>
      writeDurably(join(folder, 'initdata.toml'), initdata),
    )
  }

  async save(record: WorkloadRecord): Promise<void> {
    await this.#folder.save(record.view.id, record)
  }

  /** Removes a workload's folder; a crash in between leaves a folder that the next {@link load} clears. */
  async remove(id: string): Promise<void> {
    await this.#folder.remove(id)
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
