/** Tells readers which workloads have changed. A slow reader finds each only once, however often it changed: memory stays bounded. */

interface Reader {
  readonly changed: Set<string>
  wake: () => void
}

export class ChangeFeed {
  readonly #readers = new Set<Reader>()

  changed(id: string): void {
    for (const reader of this.#readers) {
      reader.changed.add(id)
      reader.wake()
    }
  }

  /** Ids in batches, until the signal fires. Changes count from the first `next()` on. */
  async *read(signal: AbortSignal): AsyncGenerator<readonly string[]> {
    let woken = Promise.withResolvers<void>()
    const reader: Reader = { changed: new Set(), wake: () => woken.resolve() }
    signal.addEventListener('abort', () => reader.wake(), { once: true })
    this.#readers.add(reader)
    try {
      while (!signal.aborted) {
        const batch = [...reader.changed]
        reader.changed.clear()
        woken = Promise.withResolvers<void>()
        yield batch
        if (reader.changed.size === 0 && !signal.aborted) await woken.promise
      }
    } finally {
      this.#readers.delete(reader)
    }
  }
}
