/** One stream of a mux connection, as a Duplex with flow control. */
import { Duplex } from 'node:stream'
import { MUX_INITIAL_WINDOW, MUX_PAYLOAD_BYTES, MUX_TYPE, encodeWindow } from './frame.ts'

/** Why a stream ended before its end. `code` is what the peer said, or ours. */
export class MuxResetError extends Error {
  override readonly name = 'MuxResetError'
  readonly code: string

  constructor(code: string) {
    super(`the stream was reset (${code})`)
    this.code = code
  }
}

/** What a stream needs of its connection. */
export interface MuxLink {
  send(streamId: number, type: number, payload?: Uint8Array): void
  /** Calls back when the carrier takes more bytes. */
  whenReady(callback: () => void): void
  forget(streamId: number): void
}

/** Consumed bytes after which the peer is granted as many again. */
const GRANT_BYTES = MUX_INITIAL_WINDOW / 4
/** Pieces that wait to be read: a peer that sends byte by byte must not cost an object for each byte. */
const MAX_PIECES = 256
/** The most that a peer may let us send; more is a protocol error. */
const MAX_WINDOW = 0x7fffffff

export class MuxStream extends Duplex {
  readonly target: string
  readonly #id: number
  readonly #link: MuxLink
  readonly #received: Uint8Array[] = []
  #receivedBytes = 0
  #peerEnded = false
  #wantsData = false
  #ungranted = 0
  #sendWindow = MUX_INITIAL_WINDOW
  #unsent: { readonly data: Uint8Array; offset: number; done: (error?: Error) => void } | undefined
  #isReset = false
  #isDelivering = false
  #idle: NodeJS.Timeout | undefined
  #idleMs = 0

  constructor(link: MuxLink, id: number, target: string) {
    super({ allowHalfOpen: true })
    this.#link = link
    this.#id = id
    this.target = target
  }

  /** As of net.Socket, for node:http: `timeout` is emitted after so long without a byte either way; zero: never. */
  setTimeout(timeoutMs: number, callback?: () => void): this {
    clearTimeout(this.#idle)
    this.#idleMs = timeoutMs
    this.#idle =
      timeoutMs > 0 && !this.destroyed
        ? setTimeout(() => this.emit('timeout'), timeoutMs).unref()
        : undefined
    if (callback !== undefined) this.once('timeout', callback)
    return this
  }

  /** As of net.Socket: the idle time in milliseconds; zero: none. */
  get timeout(): number {
    return this.#idleMs
  }

  /** node:http asks sockets for these; here they have no meaning. */
  setKeepAlive(): this {
    return this
  }

  setNoDelay(): this {
    return this
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  /** For the connection: data came. False when there is none in it, or the peer ignored its window or sends after its end. */
  receive(data: Uint8Array): boolean {
    // No window bounds frames without data.
    if (data.length === 0) return false
    if (this.#peerEnded || this.#receivedBytes + this.#ungranted + data.length > MUX_INITIAL_WINDOW)
      return false
    this.#idle?.refresh()
    this.#received.push(data)
    if (this.#received.length > MAX_PIECES)
      this.#received.splice(0, Infinity, Buffer.concat(this.#received))
    this.#receivedBytes += data.length
    if (this.#wantsData) this.#deliverSoon()
    return true
  }

  /** For the connection: the peer sends no more. */
  receiveEnd(): void {
    this.#peerEnded = true
    if (this.#wantsData) this.#deliver()
  }

  /** For the connection: the peer lets us send more. False when that is absurd. */
  receiveWindow(bytes: number): boolean {
    if (bytes === 0 || this.#sendWindow + bytes > MAX_WINDOW) return false
    this.#sendWindow += bytes
    this.#flush()
    return true
  }

  /** For the connection: the stream is gone, and the peer needs no word of it. */
  receiveReset(code: string): void {
    this.#isReset = true
    this.destroy(new MuxResetError(code))
  }

  override _read(): void {
    this.#wantsData = true
    this.#deliver()
  }

  override _write(chunk: Uint8Array, _encoding: string, callback: (error?: Error) => void): void {
    this.#idle?.refresh()
    this.#unsent = { data: chunk, offset: 0, done: callback }
    this.#flush()
  }

  override _final(callback: () => void): void {
    this.#link.send(this.#id, MUX_TYPE.end)
    callback()
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    const isFinished = this.#peerEnded && this.writableFinished
    if (!this.#isReset && !isFinished)
      this.#link.send(
        this.#id,
        MUX_TYPE.reset,
        Buffer.from(error === null ? 'cancelled' : 'failed'),
      )
    clearTimeout(this.#idle)
    this.#idle = undefined
    this.#received.length = 0
    this.#link.forget(this.#id)
    const unsent = this.#unsent
    this.#unsent = undefined
    unsent?.done(error ?? new MuxResetError('cancelled'))
    callback(error)
  }

  /** After the frames that came in the same piece of the carrier. */
  #deliverSoon(): void {
    if (this.#isDelivering) return
    this.#isDelivering = true
    queueMicrotask(() => {
      this.#isDelivering = false
      this.#deliver()
    })
  }

  #deliver(): void {
    while (this.#wantsData) {
      const data = this.#takeReceived()
      if (data === undefined) break
      this.#receivedBytes -= data.length
      this.#grant(data.length)
      this.#wantsData = this.push(data)
    }
    if (this.#peerEnded && this.#received.length === 0 && !this.readableEnded) this.push(null)
  }

  /** All that has come, as one chunk: what follows costs by the chunk more than by the byte. */
  #takeReceived(): Uint8Array | undefined {
    const parts = this.#received.splice(0)
    return parts.length > 1 ? Buffer.concat(parts) : parts[0]
  }

  #grant(bytes: number): void {
    this.#ungranted += bytes
    if (this.#ungranted < GRANT_BYTES || this.#peerEnded) return
    this.#link.send(this.#id, MUX_TYPE.window, encodeWindow(this.#ungranted))
    this.#ungranted = 0
  }

  #flush(): void {
    const unsent = this.#unsent
    if (unsent === undefined || this.destroyed) return
    while (unsent.offset < unsent.data.length) {
      if (this.#sendWindow === 0) return
      const size = Math.min(this.#sendWindow, MUX_PAYLOAD_BYTES, unsent.data.length - unsent.offset)
      const part = unsent.data.subarray(unsent.offset, unsent.offset + size)
      unsent.offset += size
      this.#sendWindow -= size
      this.#link.send(this.#id, MUX_TYPE.data, part)
    }
    this.#unsent = undefined
    // The next chunk waits for the carrier, so that one busy stream cannot fill memory.
    this.#link.whenReady(() => unsent.done())
  }
}
