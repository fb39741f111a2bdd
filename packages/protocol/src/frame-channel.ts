/** Whole frames both ways over a byte stream, with its backpressure made visible. */
import type { Duplex } from 'node:stream'

export interface FrameReceiver {
  frame(bytes: Uint8Array): void
  /** Called once. The error is absent when our side closed. */
  closed(error?: Error): void
}

/** Bytes written and not yet taken by the stream beyond which a channel fails: its peer does not read. */
const UNSENT_LIMIT_BYTES = 8 << 20

/** One session's frames. Made by `frameChannel`, `openPortSession` and `servePortSessions`. */
export class FrameChannel {
  readonly #stream: Duplex
  readonly #onClose: (error?: Error) => void
  #receiver: FrameReceiver | undefined
  #early: Uint8Array[] = []
  #isClosed = false
  #closeError: Error | undefined

  constructor(stream: Duplex, onClose: (error?: Error) => void) {
    this.#stream = stream
    this.#onClose = onClose
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Sets who gets the frames, those included that came before. */
  start(receiver: FrameReceiver): void {
    this.#receiver = receiver
    const early = this.#early
    this.#early = []
    for (const frame of early) receiver.frame(frame)
    if (this.#isClosed) receiver.closed(this.#closeError)
  }

  /** Sends one frame given in parts. False: wait for {@link drained} before sending more that can wait. */
  send(...parts: readonly Uint8Array[]): boolean {
    if (this.#isClosed) return false
    if (this.#stream.writableLength > UNSENT_LIMIT_BYTES) {
      this.close(new Error('the peer does not read'))
      return false
    }
    this.#stream.cork()
    let isReady = true
    for (const part of parts) if (part.length > 0) isReady = this.#stream.write(part)
    this.#stream.uncork()
    return isReady
  }

  get needsDrain(): boolean {
    return !this.#isClosed && this.#stream.writableNeedDrain
  }

  /** Calls back once when the stream takes bytes again, or when the channel has closed. */
  drained(callback: () => void): void {
    if (!this.needsDrain) {
      callback()
      return
    }
    const done = () => {
      this.#stream.off('drain', done)
      this.#stream.off('close', done)
      callback()
    }
    this.#stream.once('drain', done)
    this.#stream.once('close', done)
  }

  /** Stops and goes on reading, to hold back a peer that asks faster than it reads answers. */
  pause(): void {
    if (!this.#isClosed) this.#stream.pause()
  }

  resume(): void {
    this.#stream.resume()
  }

  close(error?: Error): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#closeError = error
    this.#early = []
    this.#stream.resume()
    this.#onClose(error)
    this.#receiver?.closed(error)
  }

  /** For the makers of channels: a frame has come. */
  deliver(frame: Uint8Array): void {
    if (this.#isClosed) return
    if (this.#receiver === undefined) this.#early.push(frame)
    else this.#receiver.frame(frame)
  }
}
