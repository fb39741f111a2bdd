/**
 * A machine's serial console. QEMU's socket takes one client, which is hostd from the start of the machine to its end: what the guest writes
 * goes to a bounded log and to any number of viewers, of which one may write.
 * Attacker-controlled: every byte of the guest. Viewers that do not keep up are let go; the guest is slowed down to the log's pace.
 */
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import { setTimeout as sleep } from 'node:timers/promises'
import { CloisterError } from '@cloister/protocol/error'
import { connectPort } from '../guest-link.ts'
import type { LogRing } from '../log-ring.ts'

/** A UART gives a few bytes at a time: gathered, so that the log has lines and not letters. */
const GATHER_MS = 50
/** As JSON, six bytes for one at worst, still well below the bound of a log line. */
const GATHER_BYTES = 32 << 10
/** Beyond it a viewer is let go. */
const VIEWER_BYTES = 1 << 20
/** What a new viewer sees of the past. */
const TAIL_BYTES = 4 << 10
const REOPEN_MS = 250

export class MachineConsole {
  readonly #ring: LogRing
  readonly #stop = new AbortController()
  readonly #viewers = new Set<Duplex>()
  readonly #decoder = new StringDecoder('utf8')
  readonly #done: Promise<void>
  #socket: Socket | undefined
  #writer: Duplex | undefined
  #tail: Buffer = Buffer.alloc(0)
  #gathered = ''
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> = Promise.resolve()

  /**
   * @param socketPath - host side of ttyS0
   * @param ring - takes what the guest writes; ended with the console
   */
  constructor(socketPath: string, ring: LogRing) {
    this.#ring = ring
    this.#done = this.#keepOpen(socketPath)
  }

  /** Whether somebody writes. */
  get isTaken(): boolean {
    return this.#writer !== undefined
  }

  /**
   * Lets a stream see what the guest writes, from the last few lines on, until either ends.
   *
   * @param options.isViewer - it may not write
   * @throws CloisterError `vm.console-taken`
   */
  attach(stream: Duplex, { isViewer }: { readonly isViewer: boolean }): void {
    if (!isViewer && this.#writer !== undefined) throw new CloisterError('vm.console-taken')
    this.#viewers.add(stream)
    stream.on('error', () => stream.destroy())
    stream.once('close', () => this.#detach(stream))
    stream.once('end', () => stream.end())
    if (this.#tail.length > 0) stream.write(this.#tail)
    if (isViewer) stream.resume()
    else this.#take(stream)
  }

  /** Reads what is left, writes it down and lets everybody go. */
  async end(): Promise<void> {
    this.#stop.abort()
    await this.#done
    this.#gathered += this.#decoder.end()
    await this.#flush()
    await this.#ring.end()
    for (const viewer of this.#viewers) viewer.end()
  }

  #take(stream: Duplex): void {
    this.#writer = stream
    stream.on('data', (bytes: Buffer) => {
      const socket = this.#socket
      // Without a socket the machine is about to end: what is typed now reaches nobody.
      if (socket === undefined || socket.write(bytes)) return
      stream.pause()
      const resume = () => {
        socket.off('drain', resume).off('close', resume)
        stream.resume()
      }
      socket.on('drain', resume).on('close', resume)
    })
  }

  #detach(stream: Duplex): void {
    this.#viewers.delete(stream)
    if (this.#writer === stream) this.#writer = undefined
  }

  async #keepOpen(socketPath: string): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      await this.#readOnce(socketPath).catch(() => undefined)
      await sleep(REOPEN_MS, undefined, { signal }).catch(() => undefined)
    }
  }

  async #readOnce(socketPath: string): Promise<void> {
    const { signal } = this.#stop
    const socket = await connectPort(socketPath, signal)
    this.#socket = socket
    const closed = Promise.withResolvers<void>()
    socket.once('close', () => closed.resolve())
    const leave = () => {
      // What the socket still holds is the guest's last words.
      for (let bytes = socket.read() as Buffer | null; bytes !== null; bytes = socket.read())
        this.#heard(bytes)
      socket.destroy()
    }
    signal.addEventListener('abort', leave, { once: true })
    socket.on('data', (bytes: Buffer) => this.#heard(bytes))
    await closed.promise
    signal.removeEventListener('abort', leave)
    this.#socket = undefined
  }

  #heard(bytes: Buffer): void {
    this.#tail = Buffer.concat([this.#tail, bytes]).subarray(-TAIL_BYTES)
    for (const viewer of this.#viewers)
      if (viewer.writableLength > VIEWER_BYTES) viewer.destroy()
      else viewer.write(bytes)
    this.#gathered += this.#decoder.write(bytes)
    if (this.#gathered.length >= GATHER_BYTES) {
      this.#socket?.pause()
      void this.#flush().then(() => this.#socket?.resume())
    } else this.#timer ??= setTimeout(() => void this.#flush(), GATHER_MS)
  }

  #flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const text = this.#gathered
    this.#gathered = ''
    this.#writing = this.#writing.then(() => this.#write(text))
    return this.#writing
  }

  async #write(text: string): Promise<void> {
    const time = new Date().toISOString()
    for (let start = 0; start < text.length; start += GATHER_BYTES) {
      const piece = text.slice(start, start + GATHER_BYTES)
      // A log that cannot be written ends no machine.
      await this.#ring.append({ stream: 'stdout', time, text: piece }).catch(() => undefined)
    }
  }
}
