/** A virtio-serial port as a stream. Hosts may open it late, close it and open it again; the stream goes on, and fails only when the port is gone. */
import { Duplex } from 'node:stream'
import { openPolled, readBuffer, type PolledDevice, type TakeBytes } from './polled-device.ts'

/** Before it is tried again whether the host has the port open; longer each time that it has not. */
const REOPEN_MS = { first: 200, most: 1000 } as const
/** Before it is tried again whether the host takes more. By a timer, for the kernel tells of a port that is closed at the host without end. */
const REWRITE_MS = { first: 1, most: 200 } as const

/** @throws what `open` throws */
export function openPort(device: string, open: typeof openPolled = openPolled): Duplex {
  const buffer = readBuffer()
  return new Port((take) => open(device, 'both', take, buffer))
}

class Port extends Duplex {
  readonly #open: (take: TakeBytes) => PolledDevice
  /** Undefined while the host has the port closed. */
  #device: PolledDevice | undefined
  #reopen: NodeJS.Timeout | undefined
  #reopenMs: number = REOPEN_MS.first
  /** Whoever reads has enough for now. */
  #isFull = false
  #rewrite: NodeJS.Timeout | undefined
  #rewriteMs: number = REWRITE_MS.first
  /** What the host has not taken. */
  #unwritten: { readonly bytes: Buffer; readonly done: () => void } | undefined

  constructor(open: (take: TakeBytes) => PolledDevice) {
    super()
    this.#open = open
    this.#connect()
  }

  override _read(): void {
    if (!this.#isFull) return
    this.#isFull = false
    this.#device?.socket.resume()
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#unwritten = { bytes: chunk, done }
    this.#rewriteMs = REWRITE_MS.first
    this.#write()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#reopen)
    clearTimeout(this.#rewrite)
    this.#device?.socket.destroy()
    this.#device = undefined
    done(error)
  }

  #connect(): void {
    const device = this.#open((bytes) => {
      this.#reopenMs = REOPEN_MS.first
      this.#isFull = !this.push(bytes)
      return !this.#isFull
    })
    this.#device = device
    device.socket.on('error', (error) => this.destroy(error))
    device.socket.once('end', () => {
      this.#device = undefined
      device.socket.destroy()
    })
    device.socket.once('close', () => {
      this.#device = undefined
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

  /** What is left is written when the host takes it or has opened the port anew. */
  #write(): void {
    clearTimeout(this.#rewrite)
    if (this.#unwritten === undefined || this.#device === undefined) return
    const { bytes, done } = this.#unwritten
    try {
      const rest = bytes.subarray(this.#device.write(bytes))
      if (rest.length > 0) this.#writeLater({ bytes: rest, done }, rest.length < bytes.length)
      else {
        this.#unwritten = undefined
        done()
      }
    } catch (error) {
      this.destroy(error as Error)
    }
  }

  #writeLater(rest: { readonly bytes: Buffer; readonly done: () => void }, isGoingOn: boolean) {
    this.#unwritten = rest
    if (isGoingOn) this.#rewriteMs = REWRITE_MS.first
    this.#rewrite = setTimeout(() => this.#write(), this.#rewriteMs)
    this.#rewriteMs = Math.min(2 * this.#rewriteMs, REWRITE_MS.most)
  }
}
