/**
 * QMP client over a unix socket: QEMU's "QMP specification" (docs/interop/qmp-spec). JSON objects in lines: a greeting, `qmp_capabilities`,
 * then commands with ids, answers, and events at any time.
 * The peer counts as hostile: lines are bounded, answers are matched by id, and whatever is not QMP ends the connection.
 */
import { EventEmitter } from 'node:events'
import { connect, type Socket } from 'node:net'
import { CloisterError } from '@cloister/protocol/error'
import { LineSplitter } from './line-splitter.ts'

/** An answer of QEMU is some KiB; `query-qmp-schema`, the largest, about 300 KiB. */
const MAX_LINE_BYTES = 1 << 20
/** A command answers in milliseconds; a busy host under TCG may need seconds. */
const DEFAULT_TIMEOUT_MS = 10_000

export interface QmpEvent {
  readonly name: string
  readonly data: Readonly<Record<string, unknown>>
}

interface Pending {
  readonly command: string
  resolve(value: unknown): void
  reject(error: CloisterError): void
  readonly timer: NodeJS.Timeout
}

type JsonObject = Record<string, unknown>

/** One negotiated connection. `event` carries {@link QmpEvent}; `close` comes once, with an error when the peer broke the protocol. */
export class QmpClient extends EventEmitter<{
  event: [QmpEvent]
  close: [CloisterError | undefined]
}> {
  readonly #socket: Socket
  readonly #lines = new LineSplitter(MAX_LINE_BYTES)
  readonly #pending = new Map<number, Pending>()
  #nextId = 1
  #closed = false
  #failure: CloisterError | undefined
  #greeted: (() => void) | undefined

  private constructor(socket: Socket) {
    super()
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#ended())
  }

  /**
   * Connects and negotiates. QEMU serves one client at a time: while another holds the socket no greeting comes.
   * @throws CloisterError `qemu.unresponsive`, `qemu.protocol`
   */
  static async connect(path: string, timeoutMs = DEFAULT_TIMEOUT_MS): Promise<QmpClient> {
    const client = new QmpClient(connect(path))
    try {
      await client.#greeting(timeoutMs)
      await client.execute('qmp_capabilities', {}, timeoutMs)
      return client
    } catch (error) {
      client.close()
      throw error
    }
  }

  /**
   * Runs one command.
   * @returns what stands under `return`
   * @throws CloisterError `qemu.refused` for an error answer, `qemu.unresponsive` when none comes in time or the connection ends
   */
  execute(
    command: string,
    options: JsonObject = {},
    timeoutMs = DEFAULT_TIMEOUT_MS,
  ): Promise<unknown> {
    if (this.#closed)
      return Promise.reject(this.#failure ?? unresponsive(command, 'the connection is closed'))
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id)
        reject(unresponsive(command, `no answer within ${timeoutMs} ms`))
      }, timeoutMs)
      this.#pending.set(id, { command, resolve, reject, timer })
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: options, id })}\n`)
    })
  }

  get isOpen(): boolean {
    return !this.#closed
  }

  /** Ends the connection; QEMU and its guest go on. */
  close(): void {
    this.#socket.destroy()
    this.#ended()
  }

  async #greeting(timeoutMs: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const fail = (error: CloisterError | undefined) =>
      reject(error ?? unresponsive('greeting', 'the connection ended before the greeting'))
    const timer = setTimeout(
      () => reject(unresponsive('greeting', `no greeting within ${timeoutMs} ms`)),
      timeoutMs,
    )
    this.#greeted = resolve
    this.once('close', fail)
    try {
      await promise
    } finally {
      clearTimeout(timer)
      this.off('close', fail)
    }
  }

  #read(chunk: Buffer): void {
    const lines = this.#lines.push(chunk)
    for (const line of lines) if (!this.#closed) this.#handle(line)
    if (this.#lines.overflowed) this.#broke(`a line longer than ${MAX_LINE_BYTES} bytes`)
  }

  #handle(line: string): void {
    if (line.trim() === '') return
    const message = parseObject(line)
    if (message === undefined) return this.#broke('a line that is no JSON object')
    if (this.#greeted !== undefined) {
      if (!isObject(message['QMP'])) return this.#broke('no greeting')
      this.#greeted()
      this.#greeted = undefined
      return
    }
    if (typeof message['event'] === 'string') {
      const data = message['data']
      this.emit('event', { name: message['event'], data: isObject(data) ? data : {} })
      return
    }
    this.#answer(message)
  }

  #answer(message: JsonObject): void {
    const id = message['id']
    // The answer to a command that we gave up on; ids that we never gave are a breach.
    if (typeof id === 'number' && id > 0 && id < this.#nextId && !this.#pending.has(id)) return
    const pending = typeof id === 'number' ? this.#pending.get(id) : undefined
    if (typeof id !== 'number' || pending === undefined)
      return this.#broke('an answer that nobody asked for')
    this.#pending.delete(id)
    clearTimeout(pending.timer)
    const error = message['error']
    if (isObject(error)) pending.reject(refused(pending.command, error))
    else if ('return' in message) pending.resolve(message['return'])
    else {
      this.#broke('an answer with neither return nor error')
      pending.reject(this.#failure ?? unresponsive(pending.command, 'no answer'))
    }
  }

  #broke(what: string): void {
    this.#failure = new CloisterError('qemu.protocol', { received: what })
    this.close()
  }

  #ended(): void {
    if (this.#closed) return
    this.#closed = true
    for (const pending of this.#pending.values()) {
      clearTimeout(pending.timer)
      pending.reject(this.#failure ?? unresponsive(pending.command, 'the connection ended'))
    }
    this.#pending.clear()
    this.emit('close', this.#failure)
  }
}

function parseObject(line: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function unresponsive(command: string, why: string): CloisterError {
  return new CloisterError('qemu.unresponsive', { where: `QMP ${command}`, why })
}

function refused(command: string, error: JsonObject): CloisterError {
  const { class: kind, desc } = error
  const text = (value: unknown) => (typeof value === 'string' ? value.slice(0, 300) : '?')
  return new CloisterError('qemu.refused', {
    where: `QMP ${command}`,
    received: `${text(kind)}: ${text(desc)}`,
  })
}
