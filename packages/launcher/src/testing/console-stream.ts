/** Both ways of a console: text is waited for in its order, lines are written. */
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

export class ConsoleStream implements Disposable {
  readonly #stream: Duplex
  #text = ''

  constructor(stream: Duplex) {
    this.#stream = stream
    stream.on('data', (chunk: Buffer) => (this.#text += chunk.toString('latin1')))
    stream.on('error', () => {})
  }

  /** What came and was not waited for yet. */
  get text(): string {
    return this.#text
  }

  /** Waits for a text behind what was waited for before. @returns what came before it */
  async until(wanted: string, timeoutMs = 60_000): Promise<string> {
    for (const deadline = performance.now() + timeoutMs; ; await sleep(20)) {
      const at = this.#text.indexOf(wanted)
      if (at >= 0) {
        const before = this.#text.slice(0, at)
        this.#text = this.#text.slice(at + wanted.length)
        return before
      }
      if (performance.now() > deadline)
        throw new Error(`no ${wanted} on the console: ${this.#text.slice(-2000)}`)
    }
  }

  write(line: string): void {
    this.#stream.write(`${line}\n`)
  }

  [Symbol.dispose](): void {
    this.#stream.destroy()
  }
}
