/**
 * Which of the numbers given last were used: a bit each, so that a nonce that was given is good once although nobody keeps it. A number that so many others came after counts as
 * used.
 */
export class SpentNumbers {
  readonly #bits: Uint8Array
  #next = 0

  /** @param remembered - numbers, a multiple of 8 */
  constructor(remembered: number) {
    this.#bits = new Uint8Array(remembered / 8)
  }

  give(): number {
    const number = this.#next++
    const { index, bit } = this.#place(number)
    this.#bits[index] = this.#byte(index) & ~bit
    return number
  }

  /** @param number - that {@link give} gave. @returns false when it was spent, or is too old to tell */
  spend(number: number): boolean {
    const { index, bit } = this.#place(number)
    if (number < this.#next - this.#bits.length * 8 || (this.#byte(index) & bit) !== 0) return false
    this.#bits[index] = this.#byte(index) | bit
    return true
  }

  #byte(index: number): number {
    return this.#bits[index] as number
  }

  #place(number: number): { readonly index: number; readonly bit: number } {
    const slot = number % (this.#bits.length * 8)
    return { index: slot >> 3, bit: 1 << (slot & 7) }
  }
}
