/** One line at the bottom of a terminal that says what is waited for, with its time; gone before anything else is written. */
const TICK_MS = 200
const CLEAR = '\r\u001B[K'

export interface Screen {
  write(text: string): unknown
  readonly columns?: number
}

export class LiveLine {
  readonly #screen: Screen
  readonly #now: () => number
  #text: string | undefined
  #since = 0
  #timer: NodeJS.Timeout | undefined

  constructor(screen: Screen, now: () => number = () => performance.now()) {
    this.#screen = screen
    this.#now = now
  }

  /** Shows `text` with the seconds since now, until the next call; undefined takes the line away. */
  show(text: string | undefined): void {
    if (this.#text !== undefined) this.#screen.write(CLEAR)
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#text = text
    if (text === undefined) return
    this.#since = this.#now()
    this.#draw()
    this.#timer = setInterval(() => {
      this.#draw()
    }, TICK_MS)
    // What is waited for keeps the process alive, not the line about it.
    this.#timer.unref()
  }

  /** Writes lines above it. */
  above(write: () => void): void {
    if (this.#text === undefined) {
      write()
      return
    }
    this.#screen.write(CLEAR)
    write()
    this.#draw()
  }

  #draw(): void {
    const seconds = (this.#now() - this.#since) / 1000
    const line = `${this.#text ?? ''}  ${seconds.toFixed(1)} s`
    // One that wraps could not be cleared.
    this.#screen.write(`${CLEAR}${line.slice(0, (this.#screen.columns ?? 80) - 1)}`)
  }
}
