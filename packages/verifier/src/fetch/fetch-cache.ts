/** Where answers of the services are kept. What comes out is read and checked again as if it came from the network. */

export interface CachedAnswer {
  readonly body: Uint8Array
  /** Those that the fetchers read: issuer chains. Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** Milliseconds since 1970. */
  readonly storedAt: number
}

/** May fail: a cache that throws counts as empty. */
export interface FetchCache {
  get(key: string): Promise<CachedAnswer | undefined>
  set(key: string, answer: CachedAnswer): Promise<void>
}

export interface MemoryCacheLimits {
  readonly entries?: number
  readonly bytes?: number
}

/** Bounded by entries and bytes; the one used longest ago goes first. */
export class MemoryFetchCache implements FetchCache {
  readonly #entries = new Map<string, CachedAnswer>()
  readonly #maxEntries: number
  readonly #maxBytes: number
  #bytes = 0

  constructor({ entries = 512, bytes = 16 << 20 }: MemoryCacheLimits = {}) {
    this.#maxEntries = entries
    this.#maxBytes = bytes
  }

  get size(): number {
    return this.#entries.size
  }

  async get(key: string): Promise<CachedAnswer | undefined> {
    const answer = this.#entries.get(key)
    if (answer === undefined) return undefined
    this.#entries.delete(key)
    this.#entries.set(key, answer)
    return answer
  }

  async set(key: string, answer: CachedAnswer): Promise<void> {
    this.#drop(key)
    this.#entries.set(key, answer)
    this.#bytes += sizeOf(answer)
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#maxEntries && this.#bytes <= this.#maxBytes) return
      this.#drop(oldest)
    }
  }

  #drop(key: string): void {
    const old = this.#entries.get(key)
    if (old === undefined) return
    this.#bytes -= sizeOf(old)
    this.#entries.delete(key)
  }
}

function sizeOf({ body, headers }: CachedAnswer): number {
  return body.length + Object.values(headers).reduce((sum, value) => sum + value.length, 0)
}
