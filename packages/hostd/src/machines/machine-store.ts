/** The folder of machines: one sub-folder for each, named by its id. */
import { RecordFolder } from '../record-folder.ts'
import { MachineRecordSchema, type MachineRecord } from './machine-record.ts'

export interface LoadedMachines {
  readonly records: readonly MachineRecord[]
  /** Ids of those whose record cannot be read; they are left alone. */
  readonly unreadable: readonly string[]
}

export class MachineStore {
  readonly #folder: RecordFolder

  /** @param root - `<home>/hostd/machines`; made when absent */
  constructor(root: string) {
    this.#folder = new RecordFolder(root, 'record.json')
  }

  folder(id: string): string {
    return this.#folder.folder(id)
  }

  async load(): Promise<LoadedMachines> {
    const records: MachineRecord[] = []
    const unreadable: string[] = []
    for (const { id, bytes } of await this.#folder.load()) {
      const record = parseRecord(bytes)
      if (record === undefined || record.view.id !== id) unreadable.push(id)
      else records.push(record)
    }
    return { records, unreadable }
  }

  /** @param fill - makes the machine's files in its folder; nothing is left when it throws */
  async create(record: MachineRecord, fill: (folder: string) => Promise<void>): Promise<void> {
    await this.#folder.create(record.view.id, record, fill)
  }

  async save(record: MachineRecord): Promise<void> {
    await this.#folder.save(record.view.id, record)
  }

  async remove(id: string): Promise<void> {
    await this.#folder.remove(id)
  }
}

/** Absent: hostd did not write this, or another version did. */
function parseRecord(bytes: Uint8Array): MachineRecord | undefined {
  try {
    return MachineRecordSchema.parse(JSON.parse(Buffer.from(bytes).toString('utf8')))
  } catch {
    return undefined
  }
}
