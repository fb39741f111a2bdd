import { equalsRange } from './equal.ts'

const SLOTS = 256
const MAX_BYTES = 64

interface Known {
  readonly bytes: Uint8Array
  readonly text: string
}

/**
 * Short texts that were written out lately, by their bytes: the same few names stand in all certificates and statements, and are neither decoded nor kept
 * once more. Bounded: whatever else falls on a place takes it.
 */
export class RecentTexts {
  readonly #slots: (Known | undefined)[] = Array.from({ length: SLOTS }, () => undefined)

  /**
   * The text of `bytes[start..end]`.
   *
   * @param write - makes it when it is not known, or is too long to be kept; undefined is not kept either
   */
  get<Text extends string | undefined>(
    bytes: Uint8Array,
    start: number,
    end: number,
    write: (bytes: Uint8Array, start: number, end: number) => Text,
  ): Text | string {
    const length = end - start
    if (length > MAX_BYTES || length === 0) return write(bytes, start, end)
    const slot = slotOf(bytes, end, length)
    const known = this.#slots[slot]
    if (known !== undefined && equalsRange(bytes, start, end, known.bytes)) return known.text
    const text = write(bytes, start, end)
    if (text !== undefined) this.#slots[slot] = { bytes: bytes.slice(start, end), text }
    return text
  }
}

/** By the last bytes, in which object identifiers differ: of all that certificates of Intel's, AMD's and the standards' have, no two share a place. */
function slotOf(bytes: Uint8Array, end: number, length: number): number {
  const last = bytes[end - 1] as number
  const second = length < 2 ? 0 : (bytes[end - 2] as number)
  const third = length < 3 ? 0 : (bytes[end - 3] as number)
  return (last + second * 29 + third * 17 + length * 7) % SLOTS
}
