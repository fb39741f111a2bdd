/** Repeatable numbers (xorshift32). The state is all there is: the numbers that follow depend on it alone. */
export class Random {
  #state: number

  /** @param seed - the same seed gives the same numbers; a `state` read before takes the run up again */
  constructor(seed: number) {
    this.#state = seed | 0 || 1
  }

  get state(): number {
    return this.#state >>> 0
  }

  /** A whole number from 0 to limit - 1; 0 for no limit. */
  below(limit: number): number {
    let state = this.#state
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    this.#state = state
    return limit === 0 ? 0 : (state >>> 0) % limit
  }
}
