const MAX_PARTS = 64

/** Cuts a byte stream from outside into lines of bounded length. */
export class LineSplitter {
  readonly #maxBytes: number
  #parts: Buffer[] = []
  #held = 0
  #skipping = false
  /** Whether a line was too long; the rest of that line is thrown away, then reading goes on. */
  overflowed = false

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** The lines that this chunk completes, without their line feed. What is no UTF-8 becomes U+FFFD. */
  push(chunk: Buffer): string[] {
    const lines: string[] = []
    let start = 0
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
      this.#hold(chunk.subarray(start, end))
      if (!this.#skipping) lines.push(Buffer.concat(this.#parts).toString('utf8'))
      this.#reset()
      start = end + 1
    }
    this.#hold(chunk.subarray(start))
    return lines
  }

  #hold(part: Buffer): void {
    this.#held += part.length
    if (this.#held > this.#maxBytes) {
      this.#skipping = true
      this.overflowed = true
      this.#parts = []
    } else if (part.length > 0) this.#parts.push(part)
    // A peer that sends byte by byte must not make one object per byte.
    if (this.#parts.length > MAX_PARTS) this.#parts = [Buffer.concat(this.#parts)]
  }

  #reset(): void {
    this.#parts = []
    this.#held = 0
    this.#skipping = false
  }
}
