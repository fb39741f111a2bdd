/**
 * Event logs of firmware (TCG PC Client Platform Firmware Profile, 10.2): the old form with SHA-1 alone, the crypto-agile form, and the
 * CCEL of confidential guests, which has the agile form and numbers measurement registers instead of PCRs. Little-endian.
 */
import { concatBytes } from '../bytes/concat.ts'
import { equalBytes } from '../bytes/equal.ts'
import { ByteReader } from '../bytes/reader.ts'
import { toUtf8 } from '../bytes/text.ts'
import { TPM_HASHES, hashById } from '../tpm/algorithms.ts'
import type { HashName, TpmHash } from '../tpm/algorithms.ts'
import { EVENT_TYPE } from './event-types.ts'

const FORMAT = 'event log'
const SPEC_ID = toUtf8('Spec ID Event03\0')
const MAX_LOG_BYTES = 16 << 20
const MAX_EVENTS = 65_536
const MAX_ALGORITHMS = 8
const END = 0xffff_ffff
const LAST_PCR = 23

/** Of a parsed log, every part is read from the log when it is asked for: spreading copies none, {@link copyOfEvent} all. */
export interface TcgEvent {
  /** PCR, or measurement register of a confidential guest. */
  readonly index: number
  readonly type: number
  readonly digests: readonly { readonly hash: HashName; readonly digest: Uint8Array }[]
  /** Not to be believed before replay, and even then only where the digest is of it. */
  readonly data: Uint8Array
  /** Of the record, in bytes from the start of the log. */
  readonly offset: number
}

export interface TcgLog {
  readonly form: 'sha1' | 'agile'
  /** Banks of the log: the header's table, or SHA-1. */
  readonly hashes: readonly TpmHash[]
  /** The agile form's first record, which is in the old form; it is not among the events. */
  readonly header: Uint8Array
  readonly events: readonly TcgEvent[]
  /** All 0xFF or all 0x00. */
  readonly padding: Uint8Array
}

/** @throws FormatError */
export function parseTcgLog(bytes: Uint8Array): TcgLog {
  const reader = new ByteReader(FORMAT, bytes)
  if (bytes.length > MAX_LOG_BYTES) reader.fail('length', 0, 'too long')
  const first = readSha1Event(reader, bytes)
  const hashes = first.type === EVENT_TYPE.noAction ? readSpecId(first.data) : undefined
  const events: TcgEvent[] = hashes === undefined ? [first] : []
  const headerSize = hashes === undefined ? 0 : reader.offset
  const end = paddingStart(bytes)
  while (reader.offset < end) {
    if (events.length === MAX_EVENTS) reader.fail('events', reader.offset, 'too many')
    events.push(
      hashes === undefined ? readSha1Event(reader, bytes) : readAgileEvent(reader, bytes, hashes),
    )
  }
  return {
    form: hashes === undefined ? 'sha1' : 'agile',
    hashes: hashes ?? [TPM_HASHES.sha1],
    header: bytes.subarray(0, headerSize),
    events,
    padding: reader.rest(),
  }
}

/** The log's bytes again. */
export function encodeTcgLog({ form, header, events, padding }: TcgLog): Uint8Array<ArrayBuffer> {
  const encode = form === 'sha1' ? encodeSha1Event : encodeAgileEvent
  return concatBytes(header, ...events.map(encode), padding)
}

/** With all parts its own, to be spread or sent elsewhere. */
export function copyOfEvent({ index, type, digests, data, offset }: TcgEvent): TcgEvent {
  return { index, type, digests, data, offset }
}

export function digestOf(event: TcgEvent, hash: HashName): Uint8Array | undefined {
  return event.digests.find((digest) => digest.hash === hash)?.digest
}

function readSha1Event(reader: ByteReader, bytes: Uint8Array): TcgEvent {
  const start = reader.offset
  readIndex(reader)
  reader.u32le('event.type')
  reader.skip(TPM_HASHES.sha1.size, 'event.digest')
  reader.skip(reader.u32le('event.size'), 'event.data')
  return new Sha1Event(bytes, start)
}

function readIndex(reader: ByteReader): void {
  const start = reader.offset
  const index = reader.u32le('event.index')
  if (index === END) reader.fail('event.index', start, 'bytes after the end of the log')
  if (index > LAST_PCR) reader.fail('event.index', start, `${index}`)
}

function readAgileEvent(
  reader: ByteReader,
  bytes: Uint8Array,
  hashes: readonly TpmHash[],
): TcgEvent {
  const start = reader.offset
  readIndex(reader)
  reader.u32le('event.type')
  const count = reader.u32le('event.digests')
  if (count === 0 || count > hashes.length)
    reader.fail('event.digests', start, `${count} of ${hashes.length} banks`)
  let seen = 0
  for (let bank = 0; bank < count; bank++) {
    const id = reader.u16le('event.digest.algorithm')
    const place = hashes.findIndex((known) => known.id === id)
    if (place < 0 || (seen & (1 << place)) !== 0)
      return reader.fail('event.digest.algorithm', start, `0x${id.toString(16)}`)
    seen |= 1 << place
    reader.skip((hashes[place] as TpmHash).size, 'event.digest')
  }
  reader.skip(reader.u32le('event.size'), 'event.data')
  return new AgileEvent(bytes, start)
}

/** An event of the log, checked whole when the log was read: its parts are views that are made when they are asked for, since a log can have many. */
abstract class RecordedEvent implements TcgEvent {
  readonly offset: number
  protected readonly bytes: Uint8Array

  constructor(bytes: Uint8Array, offset: number) {
    this.bytes = bytes
    this.offset = offset
  }

  abstract readonly digests: TcgEvent['digests']

  get index(): number {
    return this.word(0)
  }

  get type(): number {
    return this.word(4)
  }

  get data(): Uint8Array {
    const size = this.digestsEnd()
    const start = this.offset + size + 4
    return this.bytes.subarray(start, start + this.word(size))
  }

  /** Where the digests end, in bytes from the start of the record. */
  protected abstract digestsEnd(): number

  /** 32 bits, unsigned, at that place of the record. */
  protected word(place: number): number {
    return (this.half(place) | (this.half(place + 2) << 16)) >>> 0
  }

  protected half(place: number): number {
    const at = this.offset + place
    return (this.bytes[at] as number) | ((this.bytes[at + 1] as number) << 8)
  }

  protected digestAt(place: number, { name: hash, size }: TpmHash): TcgEvent['digests'][number] {
    const at = this.offset + place
    return { hash, digest: this.bytes.subarray(at, at + size) }
  }
}

/** Index, type, SHA-1 digest, size, data. */
class Sha1Event extends RecordedEvent {
  get digests(): TcgEvent['digests'] {
    return [this.digestAt(8, TPM_HASHES.sha1)]
  }

  protected digestsEnd(): number {
    return 8 + TPM_HASHES.sha1.size
  }
}

/** Index, type, how many digests; of each its algorithm and itself; size, data. */
class AgileEvent extends RecordedEvent {
  get digests(): TcgEvent['digests'] {
    const digests: TcgEvent['digests'][number][] = []
    this.#digests((place, hash) => digests.push(this.digestAt(place, hash)))
    return digests
  }

  protected digestsEnd(): number {
    return this.#digests(() => {})
  }

  #digests(take: (place: number, hash: TpmHash) => void): number {
    let place = 12
    for (let left = this.word(8); left > 0; left--) {
      const hash = hashById(this.half(place)) as TpmHash
      take(place + 2, hash)
      place += 2 + hash.size
    }
    return place
  }
}

/**
 * TCG_EfiSpecIdEvent; undefined for another event. CoCo's agent writes sixteen zero bytes in place of its signature when it has
 * no firmware log to go on from.
 */
function readSpecId(data: Uint8Array): readonly TpmHash[] | undefined {
  const signature = data.subarray(0, SPEC_ID.length)
  if (!equalBytes(signature, SPEC_ID) && !equalBytes(signature, new Uint8Array(SPEC_ID.length)))
    return undefined
  const reader = new ByteReader('event log header', data)
  reader.bytes(SPEC_ID.length + 8, 'platform class and version')
  const start = reader.offset
  const count = reader.u32le('numberOfAlgorithms')
  if (count === 0 || count > MAX_ALGORITHMS)
    reader.fail('numberOfAlgorithms', start, `${count}, wanted 1 to ${MAX_ALGORITHMS}`)
  const hashes: TpmHash[] = []
  for (let index = 0; index < count; index++) {
    const at = reader.offset
    const id = reader.u16le('algorithm')
    const size = reader.u16le('digestSize')
    const hash = hashById(id)
    if (hash === undefined || hash.size !== size || hashes.includes(hash))
      return reader.fail('algorithm', at, `0x${id.toString(16)} of ${size} bytes`)
    hashes.push(hash)
  }
  reader.bytes(reader.u8('vendorInfoSize'), 'vendorInfo')
  reader.end()
  return hashes
}

/**
 * Where the filling of the buffer begins that firmware reserves for its log: all 0xFF, or all zero. Found once, from the end, so that no log makes
 * the parser look twice at a byte. A record may itself end in such bytes; then this lies within it.
 */
function paddingStart(bytes: Uint8Array): number {
  const last = bytes.at(-1)
  if (last !== 0 && last !== 0xff) return bytes.length
  let start = bytes.length
  while (start > 0 && bytes[start - 1] === last) start--
  return start
}

function encodeSha1Event({ index, type, digests, data }: TcgEvent): Uint8Array {
  return concatBytes(
    words(index, type),
    ...digests.map(({ digest }) => digest),
    words(data.length),
    data,
  )
}

function encodeAgileEvent({ index, type, digests, data }: TcgEvent): Uint8Array {
  const banks = digests.flatMap(({ hash, digest }) => {
    const { id } = TPM_HASHES[hash]
    return [Uint8Array.of(id & 0xff, id >> 8), digest]
  })
  return concatBytes(words(index, type, digests.length), ...banks, words(data.length), data)
}

function words(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4)
  const view = new DataView(bytes.buffer)
  for (const [place, value] of values.entries()) view.setUint32(place * 4, value, true)
  return bytes
}
