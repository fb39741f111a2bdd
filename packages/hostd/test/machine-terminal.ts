/** The serial console of a VM through hostd, whose guest answers each line and ends each answer with `done`. */
import { randomBytes } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { HostdClient } from '../src/client.ts'

export class MachineTerminal implements Disposable {
  readonly #stream: Duplex
  #text = ''

  private constructor(stream: Duplex) {
    this.#stream = stream
    stream.on('data', (chunk: Buffer) => (this.#text += chunk.toString('latin1')))
    stream.on('error', () => undefined)
  }

  static async open(hostd: HostdClient, name: string): Promise<MachineTerminal> {
    // The writer before may not be gone yet.
    for (let attempt = 0; ; attempt++) {
      try {
        return new MachineTerminal(await hostd.vms.console(name))
      } catch (error) {
        if (attempt === 20) throw error
        await sleep(50)
      }
    }
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

  /** What a command of the guest prints, whatever stands on the console before it. */
  async run(command: string): Promise<string> {
    const mark = randomBytes(6).toString('hex')
    // The terminal shows what is typed too, where the marks stand in two parts.
    this.write(`echo begin-''${mark}; ${command}; echo end-''${mark}`)
    await this.until(`begin-${mark}\r\n`)
    return (await this.until(`end-${mark}\r\n`)).trim()
  }

  write(line: string): void {
    this.#stream.write(`${line}\n`)
  }

  [Symbol.dispose](): void {
    this.#stream.destroy()
  }
}
