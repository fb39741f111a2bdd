/** Writes of one value, in turn: changes that come while a write is under way go into the next one together. */
export class CoalescedWrites {
  readonly #save: () => Promise<void>
  #writing: Promise<void> | undefined
  #isUnsaved = false

  /** @param save - writes the value as it is at that moment */
  constructor(save: () => Promise<void>) {
    this.#save = save
  }

  /** The value has changed; resolves when what it is now was written. What cannot be written is tried again with the next change. */
  async changed(): Promise<void> {
    this.#isUnsaved = true
    await this.settle()
  }

  /** Resolves when nothing is left to be written. */
  async settle(): Promise<void> {
    while (this.#isUnsaved || this.#writing !== undefined) {
      this.#writing ??= this.#write().finally(() => (this.#writing = undefined))
      await this.#writing
    }
  }

  async #write(): Promise<void> {
    this.#isUnsaved = false
    await this.#save()
  }
}
