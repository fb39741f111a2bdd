/** Finds the way out of a raw console in what is typed: Ctrl-], or `~.` at the start of a line, as ssh has it. */
const CTRL_BRACKET = 0x1d
const TILDE = 0x7e
const DOT = 0x2e
const LINE_ENDS: ReadonlySet<number> = new Set([0x0a, 0x0d])

export class EscapeWatch {
  #isLineStart = true
  #isTildeHeld = false

  /** @returns bytes for the guest, and whether the console is to be left; what follows the escape is dropped */
  typed(bytes: Uint8Array): { readonly forGuest: Uint8Array; readonly leaves: boolean } {
    const forGuest: number[] = []
    for (const byte of bytes) {
      if (byte === CTRL_BRACKET) return { forGuest: Uint8Array.from(forGuest), leaves: true }
      if (this.#isTildeHeld) {
        this.#isTildeHeld = false
        if (byte === DOT) return { forGuest: Uint8Array.from(forGuest), leaves: true }
        // `~~` sends one.
        if (byte !== TILDE) forGuest.push(TILDE)
      } else if (byte === TILDE && this.#isLineStart) {
        this.#isTildeHeld = true
        continue
      }
      forGuest.push(byte)
      this.#isLineStart = LINE_ENDS.has(byte)
    }
    return { forGuest: Uint8Array.from(forGuest), leaves: false }
  }
}
