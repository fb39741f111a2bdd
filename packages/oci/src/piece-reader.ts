/**
 * Compressed bytes, piece by piece, of which a reader may give back what it took too much. Where a piece is valid only until the second next is asked
 * for, it stays so: the input is asked only when all that was given back is read.
 */
export class PieceReader {
  readonly #input: AsyncIterator<Uint8Array>
  readonly #givenBack: Uint8Array[] = []

  constructor(input: AsyncIterable<Uint8Array>) {
    this.#input = input[Symbol.asyncIterator]()
  }

  /** Absent at the end. Throws what the input throws. */
  async next(): Promise<Uint8Array | undefined> {
    const piece = this.#givenBack.shift()
    if (piece !== undefined) return piece
    const step = await this.#input.next()
    return step.done === true ? undefined : step.value
  }

  /** The piece comes next, before what was given back earlier. */
  giveBack(piece: Uint8Array): void {
    if (piece.length > 0) this.#givenBack.unshift(piece)
  }

  /** A copy of the next `count` bytes; fewer only at the end. */
  async take(count: number): Promise<Buffer> {
    const taken = Buffer.alloc(count)
    let filled = 0
    while (filled < count) {
      const piece = await this.next()
      if (piece === undefined) break
      const part = piece.subarray(0, count - filled)
      taken.set(part, filled)
      filled += part.length
      if (part.length < piece.length) this.giveBack(piece.subarray(part.length))
    }
    return taken.subarray(0, filled)
  }

  async isAtEnd(): Promise<boolean> {
    const byte = await this.take(1)
    this.giveBack(byte)
    return byte.length === 0
  }

  /** Ends the input without waiting for it. */
  close(): void {
    this.#input.return?.().catch(() => undefined)
  }
}
