/**
 * Reads a tar stream that is pushed in chunks of any size and tells a sink what it holds, without copying file contents and without
 * waiting: one pass, a few hundred bytes of state. Pax and GNU extension headers are folded into the entry that follows them.
 */
import { CloisterError } from '@cloister/protocol/error'
import {
  malformedTar,
  parsePaxRecords,
  parseTarHeader,
  TAR_BLOCK,
  tarText,
  type TarHeader,
} from './tar-header.ts'

export interface TarEntry extends TarHeader {
  /** Extended attributes that the entry asks for. */
  readonly xattrs: readonly TarXattr[]
}

export interface TarXattr {
  readonly name: string
  readonly value: Uint8Array
}

/** Called in order: `entry`, `content` zero or more times with all of `entry.size` bytes, `endEntry`. */
export interface TarSink {
  entry(entry: TarEntry): void
  /** A view into the chunk that was pushed; valid only during the call. */
  content(bytes: Uint8Array): void
  endEntry(): void
}

/** One extension header, bytes: long names and extended attributes, far above real use. */
const EXTENSION_LIMIT = 1 << 20

/** libarchive writes its own records beside these, with the same attributes in another form. */
const XATTR_PREFIX = 'SCHILY.xattr.'

type State = 'header' | 'content' | 'extension' | 'padding' | 'end'

export class TarReader {
  readonly #sink: TarSink
  readonly #block = Buffer.alloc(TAR_BLOCK)
  #blockFill = 0
  #state: State = 'header'
  /** Bytes that the present state still takes. */
  #left = 0
  #padding = 0
  #extensionType = ''
  #extension: Uint8Array[] = []
  #pax = new Map<string, Buffer>()
  #globalPax = new Map<string, Buffer>()
  #longName: string | undefined
  #longLink: string | undefined

  constructor(sink: TarSink) {
    this.#sink = sink
  }

  write(chunk: Uint8Array): void {
    let offset = 0
    while (offset < chunk.length) {
      if (this.#state === 'end') return
      if (this.#state === 'header') offset = this.#takeHeader(chunk, offset)
      else offset = this.#takeBytes(chunk, offset)
    }
  }

  /** To be called at the end of the stream; an archive cut short is malformed. A missing end mark is accepted, as tar does. */
  end(): void {
    const isBetweenEntries = this.#state === 'header' && this.#blockFill === 0
    const hasPending = this.#pax.size > 0 || this.#longName !== undefined
    if ((!isBetweenEntries && this.#state !== 'end') || hasPending)
      throw malformedTar('end: it is cut short')
  }

  #takeHeader(chunk: Uint8Array, offset: number): number {
    const take = Math.min(TAR_BLOCK - this.#blockFill, chunk.length - offset)
    this.#block.set(chunk.subarray(offset, offset + take), this.#blockFill)
    this.#blockFill += take
    if (this.#blockFill === TAR_BLOCK) {
      this.#blockFill = 0
      this.#header(parseTarHeader(this.#block))
    }
    return offset + take
  }

  #takeBytes(chunk: Uint8Array, offset: number): number {
    const take = Math.min(this.#left, chunk.length - offset)
    if (take > 0) {
      const bytes = chunk.subarray(offset, offset + take)
      if (this.#state === 'content') this.#sink.content(bytes)
      else if (this.#state === 'extension') this.#extension.push(Uint8Array.from(bytes))
      this.#left -= take
    }
    if (this.#left === 0) this.#endOfBytes()
    return offset + take
  }

  #header(header: TarHeader | undefined): void {
    if (header === undefined) {
      this.#state = 'end'
      return
    }
    this.#padding = (TAR_BLOCK - (header.size % TAR_BLOCK)) % TAR_BLOCK
    if ('xgLK'.includes(header.type)) this.#beginExtension(header)
    else this.#beginEntry(header)
  }

  #beginExtension({ type, size }: TarHeader): void {
    if (size > EXTENSION_LIMIT)
      throw new CloisterError('image.limit-exceeded', {
        where: 'tar: extension header',
        expected: `at most ${EXTENSION_LIMIT} bytes`,
        received: `${size} bytes`,
      })
    this.#extensionType = type
    this.#extension = []
    this.#begin('extension', size)
  }

  #beginEntry(header: TarHeader): void {
    const entry = this.#extend(header)
    // Only files have content; a size on anything else is not followed by bytes in any writer's output but must not be skipped unseen.
    if (entry.type !== '0' && entry.size !== 0)
      throw malformedTar('size of an entry with no content')
    this.#padding = (TAR_BLOCK - (entry.size % TAR_BLOCK)) % TAR_BLOCK
    this.#sink.entry(entry)
    this.#begin('content', entry.size)
  }

  #begin(state: State, size: number): void {
    this.#state = state
    this.#left = size
    if (size === 0) this.#endOfBytes()
  }

  #endOfBytes(): void {
    if (this.#state === 'content') this.#sink.endEntry()
    if (this.#state === 'extension') this.#endExtension()
    const isPadded = this.#state !== 'padding' && this.#padding > 0
    this.#state = isPadded ? 'padding' : 'header'
    this.#left = isPadded ? this.#padding : 0
  }

  #endExtension(): void {
    const bytes = Buffer.concat(this.#extension)
    this.#extension = []
    if (this.#extensionType === 'x') this.#pax = parsePaxRecords(bytes)
    else if (this.#extensionType === 'g') this.#globalPax = parsePaxRecords(bytes)
    else {
      const end = bytes.indexOf(0)
      const name = tarText(end < 0 ? bytes : bytes.subarray(0, end), 'long name')
      if (this.#extensionType === 'L') this.#longName = name
      else this.#longLink = name
    }
  }

  /** The header with what the extension headers before it said; those are used up by it. */
  #extend(header: TarHeader): TarEntry {
    const record = (key: string) => this.#pax.get(key) ?? this.#globalPax.get(key)
    const textRecord = (key: string) => {
      const value = record(key)
      return value === undefined ? undefined : tarText(value, `pax ${key}`)
    }
    const integer = (key: string) => decimal(record(key), /^[0-9]{1,16}$/, key)
    if (record('GNU.sparse.major') !== undefined || record('GNU.sparse.map') !== undefined)
      throw malformedTar('entry: sparse files are not permitted in layers')
    const entry: TarEntry = {
      ...header,
      name: textRecord('path') ?? this.#longName ?? header.name,
      linkName: textRecord('linkpath') ?? this.#longLink ?? header.linkName,
      uid: integer('uid') ?? header.uid,
      gid: integer('gid') ?? header.gid,
      size: integer('size') ?? header.size,
      mtime: decimal(record('mtime'), /^-?[0-9]{1,15}(\.[0-9]*)?$/, 'mtime') ?? header.mtime,
      xattrs: this.#pax.size === 0 ? [] : xattrsOf(this.#pax),
    }
    if (this.#pax.size > 0) this.#pax = new Map()
    this.#longName = undefined
    this.#longLink = undefined
    return entry
  }
}

function decimal(value: Buffer | undefined, shape: RegExp, key: string): number | undefined {
  if (value === undefined) return undefined
  const written = value.toString('latin1')
  if (!shape.test(written)) throw malformedTar(`pax ${key}`)
  return Number(written)
}

function xattrsOf(records: ReadonlyMap<string, Buffer>): TarXattr[] {
  return [...records]
    .filter(([key]) => key.startsWith(XATTR_PREFIX))
    .map(([key, value]) => ({ name: key.slice(XATTR_PREFIX.length), value }))
}
