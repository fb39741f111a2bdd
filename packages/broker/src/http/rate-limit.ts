/** A token bucket for each address, bounded in number. */
import type { BrokerLimits } from '../limits.ts'

interface Bucket {
  tokens: number
  /** Milliseconds since 1970. */
  filledAt: number
}

export class RateLimit {
  readonly #limits: Pick<BrokerLimits, 'burst' | 'perSecond' | 'addresses'>
  readonly #buckets = new Map<string, Bucket>()

  constructor(limits: Pick<BrokerLimits, 'burst' | 'perSecond' | 'addresses'>) {
    this.#limits = limits
  }

  /** Takes one request's worth. @returns false when the address has used up its own */
  take(address: string, now: number): boolean {
    const { burst, perSecond } = this.#limits
    const bucket = this.#buckets.get(address) ?? this.#add(address, now)
    // A clock that goes back must not take tokens away.
    const elapsed = Math.max(0, now - bucket.filledAt)
    bucket.tokens = Math.min(burst, bucket.tokens + (elapsed * perSecond) / 1000)
    bucket.filledAt = now
    if (bucket.tokens < 1) return false
    bucket.tokens -= 1
    return true
  }

  #add(address: string, now: number): Bucket {
    if (this.#buckets.size >= this.#limits.addresses) {
      const oldest = this.#buckets.keys().next().value
      if (oldest !== undefined) this.#buckets.delete(oldest)
    }
    const bucket = { tokens: this.#limits.burst, filledAt: now }
    this.#buckets.set(address, bucket)
    return bucket
  }
}
