/**
 * Byte streams to named targets, multiplexed over one frame channel. Either side opens; the other accepts or refuses by name.
 * Attacker-controlled on both sides: a peer may break its own streams and the connection, and cost bounded memory, no more.
 */
import type { Duplex } from 'node:stream'
import type { FrameChannel } from '../frame-channel.ts'
import { encodeMuxHeader, MUX_TYPE, parseMuxFrame, parseWindow, type MuxFrame } from './frame.ts'
import { MuxResetError, MuxStream, type MuxLink } from './stream.ts'

export interface MuxOptions {
  /** The guest opens odd ids, the host even ones. */
  readonly side: 'guest' | 'host'
  /** Whether a stream to this target, opened by the peer, is accepted. Absent: none. */
  readonly accepts?: (target: string) => boolean
  /** Takes an accepted stream; its own errors are its to handle. */
  readonly onStream?: (stream: Duplex, target: string) => void
  /** Streams at once, both sides' together. */
  readonly maxStreams?: number
}

const MAX_STREAMS = 256
const MAX_TARGET_BYTES = 64
const EMPTY = new Uint8Array()

interface Opening {
  readonly stream: MuxStream
  resolve(stream: MuxStream): void
  reject(error: Error): void
}

export class MuxConnection {
  readonly #channel: FrameChannel
  readonly #options: MuxOptions
  readonly #link: MuxLink
  readonly #streams = new Map<number, MuxStream>()
  readonly #openings = new Map<number, Opening>()
  readonly #closed = Promise.withResolvers<Error | undefined>()
  #nextId: number
  #lastPeerId = 0

  constructor(channel: FrameChannel, options: MuxOptions) {
    this.#channel = channel
    this.#options = options
    this.#nextId = options.side === 'guest' ? 1 : 2
    this.#link = {
      send: (id, type, payload = EMPTY) => {
        channel.send(encodeMuxHeader(id, type, payload.length), payload)
      },
      whenReady: (callback) => channel.drained(callback),
      forget: (id) => {
        this.#streams.delete(id)
        this.#openings.get(id)?.reject(new MuxResetError('cancelled'))
        this.#openings.delete(id)
      },
    }
    channel.start({
      frame: (bytes) => this.#receive(parseMuxFrame(bytes)),
      closed: (e) => this.#end(e),
    })
  }

  /** Resolves when the connection has ended; with the cause unless we closed it. */
  get closed(): Promise<Error | undefined> {
    return this.#closed.promise
  }

  get isClosed(): boolean {
    return this.#channel.isClosed
  }

  /**
   * Opens a stream to a target of the peer.
   *
   * @throws MuxResetError when the peer refuses or the connection ends; the signal's reason
   */
  open(target: string, signal?: AbortSignal): Promise<Duplex> {
    signal?.throwIfAborted()
    if (this.isClosed) return Promise.reject(new MuxResetError('closed'))
    if (this.#streams.size >= (this.#options.maxStreams ?? MAX_STREAMS))
      return Promise.reject(new MuxResetError('too-many-streams'))
    const id = this.#nextId
    this.#nextId += 2
    const stream = new MuxStream(this.#link, id, target)
    const { promise, resolve, reject } = Promise.withResolvers<MuxStream>()
    // Until it is handed over, its errors are told by the promise.
    const ignore = () => undefined
    stream.on('error', ignore)
    const onAbort = () => {
      reject(signal?.reason as Error)
      stream.destroy()
    }
    signal?.addEventListener('abort', onAbort, { once: true })
    this.#streams.set(id, stream)
    this.#openings.set(id, { stream, resolve, reject })
    this.#link.send(id, MUX_TYPE.open, Buffer.from(target))
    return promise
      .then((opened) => {
        opened.off('error', ignore)
        // The peer may reset it in the same piece that opened it; nobody would hear of that any more.
        if (opened.destroyed) throw opened.errored ?? new MuxResetError('closed')
        return opened
      })
      .finally(() => signal?.removeEventListener('abort', onAbort))
  }

  close(): void {
    this.#channel.close()
  }

  #receive(frame: MuxFrame): void {
    if (frame.type === MUX_TYPE.open) this.#receiveOpen(frame)
    else if (this.#streams.has(frame.streamId)) this.#receiveOnStream(frame)
    // Frames of a stream that we reset while they were under way mean nothing; of one that never was, a broken peer.
    else if (!this.#wasUsed(frame.streamId))
      this.#channel.close(new Error('a mux frame names a stream that was never opened'))
  }

  #receiveOpen({ streamId, payload }: MuxFrame): void {
    const isTheirs = streamId % 2 === (this.#options.side === 'guest' ? 0 : 1)
    if (!isTheirs || streamId <= this.#lastPeerId || payload.length > MAX_TARGET_BYTES) {
      this.#channel.close(new Error('a mux stream was opened against the rules'))
      return
    }
    this.#lastPeerId = streamId
    const target = Buffer.from(payload).toString('latin1')
    if (this.#options.onStream === undefined || this.#options.accepts?.(target) !== true) {
      this.#link.send(streamId, MUX_TYPE.reset, Buffer.from('refused'))
      return
    }
    if (this.#streams.size >= (this.#options.maxStreams ?? MAX_STREAMS)) {
      this.#link.send(streamId, MUX_TYPE.reset, Buffer.from('too-many-streams'))
      return
    }
    const stream = new MuxStream(this.#link, streamId, target)
    this.#streams.set(streamId, stream)
    this.#link.send(streamId, MUX_TYPE.opened)
    this.#options.onStream(stream, target)
  }

  #receiveOnStream({ streamId, type, payload }: MuxFrame): void {
    const stream = this.#streams.get(streamId)!
    const opening = this.#openings.get(streamId)
    if (type === MUX_TYPE.reset) {
      const code = Buffer.from(payload.subarray(0, 64)).toString('latin1')
      this.#openings.delete(streamId)
      opening?.reject(new MuxResetError(code))
      stream.receiveReset(code)
    } else if (type === MUX_TYPE.opened) {
      this.#openings.delete(streamId)
      opening?.resolve(stream)
    } else if (opening !== undefined || !receiveFlow(stream, type, payload)) {
      opening?.reject(new MuxResetError('protocol'))
      this.#openings.delete(streamId)
      this.#link.send(streamId, MUX_TYPE.reset, Buffer.from('protocol'))
      stream.receiveReset('protocol')
    }
  }

  #wasUsed(id: number): boolean {
    const isOurs = id % 2 === this.#nextId % 2
    return isOurs ? id < this.#nextId : id <= this.#lastPeerId
  }

  #end(error?: Error): void {
    for (const opening of this.#openings.values()) opening.reject(new MuxResetError('closed'))
    this.#openings.clear()
    for (const stream of this.#streams.values()) stream.receiveReset('closed')
    this.#streams.clear()
    this.#closed.resolve(error)
  }
}

function receiveFlow(stream: MuxStream, type: number, payload: Uint8Array): boolean {
  if (type === MUX_TYPE.data) return stream.receive(payload)
  if (type === MUX_TYPE.end) {
    stream.receiveEnd()
    return true
  }
  const window = parseWindow(payload)
  return window !== undefined && stream.receiveWindow(window)
}
