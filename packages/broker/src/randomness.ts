/** Random bytes for nonces and initialization vectors, which everybody may see once they are given. Not for keys: those must not lie about before they are needed. */
import { randomFillSync } from 'node:crypto'

/** So many at once: asking for randomness costs more than what comes of it. */
const pool = Buffer.allocUnsafeSlow(4096)
let used = pool.length

/** @param count - at most 4096. @returns bytes of the caller's own, given to nobody else */
export function takeRandom(count: number): Buffer {
  if (count > pool.length) throw new RangeError(`Cannot take ${count} random bytes at once`)
  if (used + count > pool.length) {
    randomFillSync(pool)
    used = 0
  }
  used += count
  const taken = Buffer.from(pool.subarray(used - count, used))
  pool.fill(0, used - count, used)
  return taken
}
