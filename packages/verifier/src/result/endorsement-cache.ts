/**
 * Signatures that were already checked, so that the second Evidence from one platform costs one signature check. Only what cannot
 * change with time is kept: parsed certificates and good signatures. Dates and revocation are judged anew each time.
 */
export interface EndorsementCacheOptions {
  /** Entries kept; the one used longest ago goes first. */
  readonly maxEntries?: number
  /** Milliseconds after which an entry is made anew, by the `now` of the appraisal. */
  readonly maxAgeMs?: number
}

interface Entry {
  readonly value: unknown
  readonly storedAt: number
}

export class EndorsementCache {
  readonly #entries = new Map<string, Entry>()
  readonly #maxEntries: number
  readonly #maxAgeMs: number

  constructor({ maxEntries = 1024, maxAgeMs = 3_600_000 }: EndorsementCacheOptions = {}) {
    this.#maxEntries = maxEntries
    this.#maxAgeMs = maxAgeMs
  }

  get size(): number {
    return this.#entries.size
  }

  get(key: string, now: Date): unknown {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    this.#entries.delete(key)
    if (Math.abs(now.getTime() - entry.storedAt) > this.#maxAgeMs) return undefined
    this.#entries.set(key, entry)
    return entry.value
  }

  set(key: string, value: unknown, now: Date): void {
    this.#entries.delete(key)
    this.#entries.set(key, { value, storedAt: now.getTime() })
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#maxEntries) return
      this.#entries.delete(oldest)
    }
  }
}
