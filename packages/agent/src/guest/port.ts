/** A virtio-serial port as a stream. Hosts may open it late, close it and open it again; the stream goes on, and fails only when the port is gone. */
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { openPolled, type TakeBytes } from './polled-device.ts'

/** Before it is tried again whether the host has the port open; longer each time that it has not. */
const REOPEN_MS = { first: 200, most: 1000 } as const

/** @throws what `open` throws */
export function openPort(
  device: string,
  open: (take: TakeBytes) => Socket = (take) => openPolled(device, 'both', take),
): Duplex {
  return new Port(open)
}

class Port extends Duplex {
  readonly #open: (take: TakeBytes) => Socket
  /** Undefined while the host has the port closed. */
  #socket: Socket | undefined
  #reopen: NodeJS.Timeout | undefined
  #reopenMs: number = REOPEN_MS.first
  /** Whoever reads has enough for now. */
  #isFull = false
  /** What the host has not taken; written again, whole, when it opens the port anew. */
  #unwritten: { readonly chunk: Buffer; readonly done: () => void } | undefined

  constructor(open: (take: TakeBytes) => Socket) {
    super()
    this.#open = open
    this.#connect()
  }

  override _read(): void {
    if (!this.#isFull) return
    this.#isFull = false
    this.#socket?.resume()
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#unwritten = { chunk, done }
    this.#write()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#reopen)
    this.#socket?.destroy()
    done(error)
  }

  #connect(): void {
    const socket = this.#open((bytes) => {
      this.#reopenMs = REOPEN_MS.first
      this.#isFull = !this.push(bytes)
      return !this.#isFull
    })
    this.#socket = socket
    socket.on('error', (error) => this.destroy(error))
    socket.once('end', () => socket.destroy())
    socket.once('close', () => {
      this.#socket = undefined
      if (!this.destroyed) this.#reopen = setTimeout(() => this.#reconnect(), this.#reopenMs)
      this.#reopenMs = Math.min(2 * this.#reopenMs, REOPEN_MS.most)
    })
    this.#write()
  }

  #reconnect(): void {
    try {
      this.#connect()
    } catch (error) {
      this.destroy(error as Error)
    }
  }

  #write(): void {
    const unwritten = this.#unwritten
    if (unwritten === undefined) return
    this.#socket?.write(unwritten.chunk, (error) => {
      if (error || this.#unwritten !== unwritten) return
      this.#unwritten = undefined
      unwritten.done()
    })
  }
}
