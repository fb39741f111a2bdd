/** One output of a process, kept for a host that may read it. Bounded: what is not read in time gives way to what is newer. */
import type { Readable } from 'node:stream'

const CAPACITY_BYTES = 1 << 20

export class LogBuffer {
  readonly #chunks: Uint8Array[] = []
  readonly #readers: (() => void)[] = []
  #bytes = 0
  #hasEnded = false

  constructor(output: Readable, capacityBytes = CAPACITY_BYTES) {
    output.on('data', (chunk: Buffer) => this.#push(chunk, capacityBytes))
    output.once('close', () => this.#end())
  }

  /** At most `length` bytes; waits while there are none; empty at the end of the output. */
  async read(length: number, signal: AbortSignal): Promise<Uint8Array> {
    while (this.#bytes === 0 && !this.#hasEnded && !signal.aborted) await this.#more(signal)
    if (signal.aborted) throw signal.reason as Error
    return this.#take(length)
  }

  #push(chunk: Uint8Array, capacityBytes: number): void {
    // One piece longer than the whole buffer keeps its end.
    const piece = chunk.length > capacityBytes ? chunk.subarray(-capacityBytes) : chunk
    this.#chunks.push(piece)
    this.#bytes += piece.length
    while (this.#bytes > capacityBytes) this.#bytes -= this.#chunks.shift()?.length ?? 0
    this.#wake()
  }

  #end(): void {
    this.#hasEnded = true
    this.#wake()
  }

  #wake(): void {
    for (const wake of this.#readers.splice(0)) wake()
  }

  #more(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const done = () => {
      signal.removeEventListener('abort', done)
      resolve()
    }
    this.#readers.push(done)
    signal.addEventListener('abort', done)
    return promise
  }

  #take(length: number): Uint8Array {
    const taken: Uint8Array[] = []
    let wanted = length
    while (wanted > 0) {
      const chunk = this.#chunks.shift()
      if (chunk === undefined) break
      taken.push(chunk.subarray(0, wanted))
      if (chunk.length > wanted) this.#chunks.unshift(chunk.subarray(wanted))
      wanted -= Math.min(wanted, chunk.length)
    }
    const bytes = taken.length === 1 ? taken[0]! : Buffer.concat(taken)
    this.#bytes -= bytes.length
    return bytes
  }
}
