/**
 * Entries of the audit on their way into its table: a file of lines, each with an entry's position, the hash of its leaf and its text. One system call puts an entry there, where
 * SQLite needs eleven for its pages; what is there outlives the process, as what SQLite has committed and not synced does. The file is written over again and again, which costs a third of making it
 * longer: the first line that is none, or not the next one, is its end.
 */
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  writeSync,
} from 'node:fs'
import { AuditContentSchema, type AuditContent } from '@cloister/protocol/broker-admin-api'
import { diskFull } from '@cloister/protocol/disk-full'
import { CloisterError } from '@cloister/protocol/error'
import { leafHash } from '@cloister/protocol/tlog/merkle'

/** A tile's worth of usual entries. */
const CAPACITY = 3 << 19
const LINE_END = 0x0a
/** Digits of a position, of a hash, two blanks and the end, bytes. */
const BESIDE_LEAF = 15 + 64 + 3
/** Of a code unit of a text in UTF-8. */
const MOST_BYTES = 3

/** What to do about a journal that is not the log's. */
export const RESTORE: readonly string[] = [
  'restore broker.db and audit.journal from the same backup',
]

export interface JournalLine {
  /** Of the entry in the log. */
  readonly position: number
  /** The entry's text. */
  readonly leaf: string
  readonly content: AuditContent
}

export class AuditJournal implements Disposable {
  readonly #file: string
  readonly #fd: number
  /** The file as it is up to `#length`. Not as texts: V8's collector would carry them along. */
  readonly #lines = Buffer.allocUnsafeSlow(CAPACITY)
  #length = 0
  /** Where the texts stand in the lines. */
  #leaves: { readonly start: number; readonly end: number }[] = []

  /**
   * @param file - made with mode 0600 when absent
   * @throws CloisterError `host.disk-full`, `broker.storage`
   */
  constructor(file: string) {
    this.#file = file
    try {
      this.#fd = openSync(file, constants.O_RDWR | constants.O_CREAT, 0o600)
    } catch (cause) {
      throw diskFull(cause, file) ?? new CloisterError('broker.storage', { where: file, cause })
    }
  }

  hasRoomFor(leaf: string): boolean {
    return this.#length + BESIDE_LEAF + leaf.length * MOST_BYTES <= CAPACITY
  }

  /**
   * @param leaf - JSON, which has no line's end in it; there is room for it
   * @throws CloisterError `host.disk-full`; the journal is then as it was: what was written of the line is none
   */
  append(position: number, leaf: string, hash: Uint8Array): void {
    const lines = this.#lines
    const head = `${position} ${Buffer.from(hash).toString('hex')} `
    const start = this.#length + lines.write(head, this.#length, 'latin1')
    const end = start + lines.write(leaf, start)
    lines[end] = LINE_END
    try {
      for (let done = this.#length; done <= end;)
        done += writeSync(this.#fd, lines, done, end + 1 - done, done)
    } catch (error) {
      throw diskFull(error, this.#file) ?? error
    }
    this.#length = end + 1
    this.#leaves.push({ start, end })
  }

  /** The text that was put in as the n-th. */
  leaf(n: number): string {
    const { start, end } = this.#leaves[n] as { start: number; end: number }
    return this.#lines.toString('utf8', start, end)
  }

  /**
   * What an earlier process left, in the order of the log. A line that was being written when it ended is none: nobody had an answer that rests on it.
   *
   * @throws CloisterError `broker.storage` for a whole line that is no entry
   */
  read(): readonly JournalLine[] {
    const bytes = Buffer.alloc(Math.min(fstatSync(this.#fd).size, CAPACITY))
    readSync(this.#fd, bytes, 0, bytes.length, 0)
    const lines: JournalLine[] = []
    for (const text of bytes.toString().split('\n')) {
      const line = this.#readLine(text)
      const last = lines.at(-1)
      if (line === undefined || (last !== undefined && line.position !== last.position + 1)) break
      lines.push(line)
    }
    return lines
  }

  #readLine(line: string): JournalLine | undefined {
    const [, position, hash, leaf] = /^(\d{1,15}) ([0-9a-f]{64}) (.*)$/.exec(line) ?? []
    if (leaf === undefined || Buffer.from(leafHash(leaf)).toString('hex') !== hash) return undefined
    try {
      const content = AuditContentSchema.parse(JSON.parse(leaf))
      return { position: Number(position), leaf, content }
    } catch (cause) {
      throw new CloisterError('broker.storage', {
        where: this.#file,
        why: `what the journal has as entry ${position} of the audit is none`,
        fix: RESTORE,
        cause,
      })
    }
  }

  /** To be called when the entries are in the table. Lines that could not be taken out are passed over at the next start. */
  clear(): void {
    this.#length = 0
    this.#leaves = []
    try {
      writeSync(this.#fd, '\n', 0)
    } catch {
      // As above.
    }
  }

  [Symbol.dispose](): void {
    try {
      if (this.#length === 0) ftruncateSync(this.#fd)
    } catch {
      // It is only larger than it need be.
    }
    closeSync(this.#fd)
  }
}
