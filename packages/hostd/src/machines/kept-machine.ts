/** A machine's record in memory and on disk: changed at once, written in turn, several changes in one write. */
import type { VmView } from '@cloister/protocol/hostd-vm-api'
import { CoalescedWrites } from '../coalesced-writes.ts'
import type { MachineRecord } from './machine-record.ts'
import type { MachineStore } from './machine-store.ts'

export interface KeptMachineOptions {
  readonly record: MachineRecord
  readonly store: Pick<MachineStore, 'save'>
  /** Called at each change. */
  readonly changed: () => void
  /** Called when a change could not be written. */
  readonly failed: (error: unknown) => void
}

export class KeptMachine {
  readonly record: MachineRecord
  readonly #options: KeptMachineOptions
  readonly #writes: CoalescedWrites

  constructor(options: KeptMachineOptions) {
    const { record, store } = options
    this.record = record
    this.#options = options
    this.#writes = new CoalescedWrites(() => store.save(record))
  }

  get view(): VmView {
    const { restartsAt: _before, ...view } = this.record.view
    const restartsAt = this.record.restart?.at
    return restartsAt === undefined ? view : { ...view, restartsAt }
  }

  /** Changes the view, and the record beside it. What cannot be written now is written with the next change: a full disk ends no machine. */
  async set(view: Partial<VmView>, record: Partial<MachineRecord> = {}): Promise<void> {
    await this.setSurely(view, record).catch(this.#options.failed)
  }

  /** Like {@link set}, and rejects when it cannot be written. */
  async setSurely(view: Partial<VmView>, record: Partial<MachineRecord> = {}): Promise<void> {
    Object.assign(this.record, record)
    this.record.view = { ...this.view, ...view }
    this.#options.changed()
    await this.#writes.changed()
  }

  /** Resolves when nothing is left to be written. */
  async settle(): Promise<void> {
    await this.#writes.settle()
  }
}
