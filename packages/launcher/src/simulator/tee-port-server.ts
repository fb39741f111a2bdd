/**
 * The host's end of one guest's port `cloister.tee`. It is bound to that VM's launch context when it is made, so no request can name
 * another's. Attacker-controlled: lines are bounded, requests are answered one at a time, and after each the next one waits for a pause.
 */
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { TEE_PORT_LIMITS, TEE_PORT_NO_ID, TeeRequestSchema } from '@cloister/protocol/tee-port'
import type { TeeAnswer, TeeRequest } from '@cloister/protocol/tee-port'
import { LineSplitter } from '../line-splitter.ts'

/** Between an answer and the next: a signature is half a millisecond of our time, and the real processor throttles guests, too. */
const PAUSE_MS = 20

/** A report and its certificate table, for what the request asks. */
export type AnswerRequest = (request: TeeRequest) => { report: string; certificates: string }

export class TeePortServer implements AsyncDisposable {
  readonly #socket: Socket
  readonly #lines = new LineSplitter(TEE_PORT_LIMITS.requestBytes)
  readonly #answer: AnswerRequest
  readonly #closed: Promise<void>

  constructor(socketPath: string, answer: AnswerRequest) {
    this.#answer = answer
    this.#socket = connect(socketPath)
    this.#socket.on('data', (chunk: Buffer) => void this.#read(chunk))
    // A port that ends early shows as attestation that fails in the guest.
    this.#socket.on('error', () => this.#socket.destroy())
    this.#closed = new Promise((resolve) => this.#socket.once('close', () => resolve()))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy()
    await this.#closed
  }

  async #read(chunk: Buffer): Promise<void> {
    this.#socket.pause()
    for (const line of this.#lines.push(chunk)) {
      const answer = this.#handle(line)
      // A guest that asks and does not read its answers waits: else they would pile up here.
      if (!this.#socket.write(`${JSON.stringify(answer)}\n`)) await this.#drained()
      await sleep(PAUSE_MS)
      if (this.#socket.destroyed) return
    }
    this.#socket.resume()
  }

  #drained(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#socket.once('drain', resolve)
    this.#socket.once('close', resolve)
    return promise.finally(() => {
      this.#socket.off('drain', resolve)
      this.#socket.off('close', resolve)
    })
  }

  #handle(line: string): TeeAnswer {
    const request = parseRequest(line)
    if (request === undefined) return { id: TEE_PORT_NO_ID, error: 'malformed' }
    try {
      return { id: request.id, ...this.#answer(request) }
    } catch {
      return { id: request.id, error: 'failed' }
    }
  }
}

function parseRequest(line: string): TeeRequest | undefined {
  try {
    return TeeRequestSchema.safeParse(JSON.parse(line)).data
  } catch {
    return undefined
  }
}
