/**
 * What a guest wrote or what happened to it, on disk, bounded: NDJSON in numbered segments of which the oldest goes when a new one begins.
 * Written by one, read by any number at their own pace; a reader that falls behind the oldest segment goes on at it.
 */
import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, rm, stat, truncate, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { HOSTD_LIMITS, type LogEntry } from '@cloister/protocol/hostd-api'
import { isOutOfSpace } from './durable-file.ts'
import { lines } from './ndjson.ts'

export interface LogRingOptions {
  /** Bytes after which a new segment begins. Default 4 MiB. */
  readonly segmentBytes?: number
  /** Segments kept. Default 4. */
  readonly segments?: number
}

/** `Entry`: one line, of at most `HOSTD_LIMITS.lineBytes` as JSON. */
export class LogRing<Entry extends object = LogEntry> {
  readonly #folder: string
  readonly #segmentBytes: number
  readonly #keep: number
  #first = 1
  #last = 1
  #lastSize = 0
  #file: FileHandle | undefined
  #ended = false
  #turn: Promise<unknown> = Promise.resolve()
  #changed = Promise.withResolvers<void>()

  private constructor(folder: string, options: LogRingOptions) {
    this.#folder = folder
    this.#segmentBytes = options.segmentBytes ?? 4 << 20
    this.#keep = options.segments ?? 4
  }

  /** Opens or makes the ring; a line that a crash cut short is dropped. */
  static async open<Entry extends object = LogEntry>(
    folder: string,
    options: LogRingOptions = {},
  ): Promise<LogRing<Entry>> {
    const ring = new LogRing<Entry>(folder, options)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const numbers = (await readdir(folder))
      .map((name) => Number(/^(\d+)\.ndjson$/.exec(name)?.[1] ?? 0))
      .filter((number) => number > 0)
      .sort((a, b) => a - b)
    ring.#first = numbers[0] ?? 1
    ring.#last = numbers.at(-1) ?? 1
    ring.#lastSize = await dropTornLine(ring.#segment(ring.#last))
    return ring
  }

  /** Appends one entry. Without space on the disk it is dropped: output never ends a workload. */
  append(entry: Entry): Promise<void> {
    const turn = this.#turn.then(() => this.#append(Buffer.from(`${JSON.stringify(entry)}\n`)))
    this.#turn = turn.catch(() => undefined)
    return turn
  }

  async #append(line: Buffer): Promise<void> {
    if (this.#ended) return
    try {
      if (this.#lastSize > 0 && this.#lastSize + line.length > this.#segmentBytes)
        await this.#rotate()
      this.#file ??= await open(this.#segment(this.#last), 'a', 0o600)
      await this.#file.appendFile(line)
      this.#lastSize += line.length
    } catch (error) {
      // Half a line may have been written.
      await this.#file?.truncate(this.#lastSize)
      if (!isOutOfSpace(error)) throw error
    }
    this.#wake()
  }

  async #rotate(): Promise<void> {
    await this.#file?.close()
    this.#file = undefined
    this.#last += 1
    this.#lastSize = 0
    while (this.#last - this.#first >= this.#keep) {
      await rm(this.#segment(this.#first), { force: true })
      this.#first += 1
    }
  }

  /** No more entries will come: followers end after what there is. */
  async end(): Promise<void> {
    await this.#turn
    this.#ended = true
    await this.#file?.close()
    this.#file = undefined
    this.#wake()
  }

  /**
   * The NDJSON lines from the oldest on, each with its newline.
   *
   * @param options.follow - goes on with what is appended until {@link end}
   */
  async *read(options: {
    readonly follow: boolean
    readonly signal?: AbortSignal
  }): AsyncGenerator<string> {
    const aborted = abortion(options.signal)
    const start = this.#end
    let segment = this.#first
    let offset = 0
    for (;;) {
      if (segment < this.#first) {
        segment = this.#first
        offset = 0
      }
      const changed = this.#changed.promise
      const ended = this.#ended
      // Who does not follow gets what there was when it began, however fast more comes.
      const { last, size } = options.follow ? this.#end : start
      if (segment > last) return
      const path = this.#segment(segment)
      for await (const line of readLines(path, offset, segment === last ? size : Infinity)) {
        if (options.signal?.aborted === true) return
        offset += Buffer.byteLength(line) + 1
        yield `${line}\n`
      }
      if (segment < last) {
        segment += 1
        offset = 0
        continue
      }
      if (ended || !options.follow) return
      await Promise.race([changed, aborted])
      if (options.signal?.aborted === true) return
    }
  }

  get #end(): { readonly last: number; readonly size: number } {
    return { last: this.#last, size: this.#lastSize }
  }

  #segment(number: number): string {
    return join(this.#folder, `${number}.ndjson`)
  }

  #wake(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers<void>()
  }
}

function abortion(signal: AbortSignal | undefined): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  signal?.addEventListener('abort', () => resolve(), { once: true })
  return promise
}

/** Complete lines of a file between two offsets; none when the file is not there. */
async function* readLines(path: string, start: number, end: number): AsyncGenerator<string> {
  if (start >= end) return
  const source = createReadStream(path, { start, ...(end !== Infinity && { end: end - 1 }) })
  try {
    yield* lines(source, HOSTD_LIMITS.lineBytes, () => new Error('log line too long'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

/** Cuts what follows the last newline; returns the size then. */
async function dropTornLine(path: string): Promise<number> {
  let size: number
  try {
    size = (await stat(path)).size
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw error
  }
  let complete = 0
  let offset = 0
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    const newline = chunk.lastIndexOf(10)
    if (newline !== -1) complete = offset + newline + 1
    offset += chunk.length
  }
  if (complete < size) await truncate(path, complete)
  return complete
}
