/** Repeatable changes to samples: bits, bytes, lengths, cuts, insertions, splices. */
const INTERESTING = [0x00, 0x01, 0x7f, 0x80, 0x81, 0x82, 0x84, 0xff]

export class Mutator {
  #state: number

  /** @param seed - the same seed gives the same inputs; a `state` read before takes the run up again */
  constructor(seed: number) {
    this.#state = seed >>> 0 || 1
  }

  get state(): number {
    return this.#state
  }

  /** A whole number from 0 to limit - 1 (xorshift32). */
  below(limit: number): number {
    let state = this.#state
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    this.#state = state >>> 0
    return limit === 0 ? 0 : this.#state % limit
  }

  /** A changed copy, never more than twice as long. */
  mutate(sample: Uint8Array): Uint8Array {
    let bytes = Uint8Array.from(sample)
    for (let changes = 1 + this.below(4); changes > 0; changes--) bytes = this.#change(bytes)
    return bytes
  }

  #change(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const at = this.below(bytes.length)
    switch (this.below(6)) {
      case 0:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << this.below(8))
        return bytes
      case 1:
        bytes[at] = INTERESTING[this.below(INTERESTING.length)] ?? 0
        return bytes
      case 2:
        bytes.fill(INTERESTING[this.below(INTERESTING.length)] ?? 0, at, at + 1 + this.below(8))
        return bytes
      case 3:
        return bytes.slice(0, at)
      case 4: {
        const from = this.below(bytes.length)
        bytes.copyWithin(at, from, from + this.below(64))
        return bytes
      }
      default: {
        const piece = bytes.slice(at, at + this.below(32))
        const longer = new Uint8Array(bytes.length + piece.length)
        longer.set(bytes.subarray(0, at))
        longer.set(piece, at)
        longer.set(bytes.subarray(at), at + piece.length)
        return longer
      }
    }
  }
}
