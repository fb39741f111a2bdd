/** A workload's record in memory and on disk: changed at once, written in turn, several changes in one write. */
import { isEnded, type WorkloadView } from '@cloister/protocol/hostd-api'
import { CoalescedWrites } from './coalesced-writes.ts'
import type { RecordStore } from './record-store.ts'
import { isPast, type Step, type WorkloadRecord } from './record.ts'

export interface KeptRecordOptions {
  readonly record: WorkloadRecord
  readonly store: RecordStore
  /** Called at each change. */
  readonly changed: (view: WorkloadView) => void
  /** Called when a change could not be written. */
  readonly failed: (error: unknown) => void
}

export class KeptRecord {
  readonly #options: KeptRecordOptions
  readonly #record: WorkloadRecord
  readonly #writes: CoalescedWrites
  #isFrozen = false

  constructor(options: KeptRecordOptions) {
    this.#options = options
    this.#record = options.record
    this.#writes = new CoalescedWrites(() => options.store.save(this.#record))
  }

  get value(): Readonly<WorkloadRecord> {
    return this.#record
  }

  get view(): WorkloadView {
    return this.#record.view
  }

  get isEnded(): boolean {
    return isEnded(this.view.state)
  }

  has(step: Step): boolean {
    return isPast(this.#record.step, step)
  }

  /**
   * Changes the view, and the record beside it. What cannot be written now is written with the next change: a full disk ends no workload.
   */
  async change(
    view: Partial<WorkloadView>,
    record: Partial<Pick<WorkloadRecord, 'step' | 'vm' | 'request'>> = {},
  ): Promise<void> {
    await this.changeSurely(view, record).catch(this.#options.failed)
  }

  /** Like {@link change}, and rejects when it cannot be written. */
  async changeSurely(
    view: Partial<WorkloadView>,
    record: Partial<Pick<WorkloadRecord, 'step' | 'vm' | 'request'>> = {},
  ): Promise<void> {
    if (this.#isFrozen) return
    Object.assign(this.#record, record)
    this.#record.view = { ...this.view, ...view }
    this.#options.changed(this.view)
    await this.#writes.changed()
  }

  /** Writes the end: the outcome stands, what belongs to a live guest goes. */
  async end(
    outcome: Pick<WorkloadView, 'state' | 'endedAt' | 'exitCode' | 'error'>,
  ): Promise<void> {
    if (this.#isFrozen) return
    const { pid: _pid, exitCode: _exitCode, ...rest } = this.view
    this.#record.view = rest
    delete this.#record.vm
    await this.change(outcome)
  }

  /** Ignores changes from now on; resolves when the last write is done. */
  async freeze(): Promise<void> {
    this.#isFrozen = true
    await this.#writes.settle().catch(() => undefined)
  }
}
