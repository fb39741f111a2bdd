/** EFI_GPT_DATA (TCG PC Client Platform Firmware Profile, 10.4.2): the table's header, u64 count, the entries in use. Little-endian. */
import { concatBytes } from '../bytes/concat.ts'
import { FormatError } from '../bytes/format-error.ts'
import { equalBytes } from '../bytes/equal.ts'
import { ByteReader } from '../bytes/reader.ts'

const HEADER_BYTES = 92
const ENTRY_BYTES = 128
/** Of the header: who it is for and what for; checksums, places and sizes are not in it. */
const DISK_ID = { start: 56, end: 72 } as const
/** Of an entry: type, id and first block; then the last block, which growing moves; then attributes and name. */
const LAST_BLOCK = { start: 40, end: 48 } as const

export interface GptEvent {
  readonly header: Uint8Array
  readonly entries: readonly Uint8Array[]
}

/** @throws FormatError */
export function parseGptEvent(data: Uint8Array): GptEvent {
  const reader = new ByteReader('GPT event', data)
  const header = reader.bytes(HEADER_BYTES, 'header')
  const count = reader.u64le('count')
  if (count * BigInt(ENTRY_BYTES) !== BigInt(reader.left))
    reader.fail('count', HEADER_BYTES, `${count} entries in ${reader.left} bytes`)
  const entries: Uint8Array[] = []
  while (reader.left > 0) entries.push(reader.bytes(ENTRY_BYTES, 'entry'))
  return { header, entries }
}

/** The event's data, as firmware measures it for a table. */
export function encodeGptEvent({ header, entries }: GptEvent): Uint8Array<ArrayBuffer> {
  const count = new Uint8Array(8)
  new DataView(count.buffer).setBigUint64(0, BigInt(entries.length), true)
  return concatBytes(header, count, ...entries)
}

/** Whether the second table is the first on a disk that has grown, its last partition with it or not. */
export function isGrownTable(before: Uint8Array, after: Uint8Array): boolean {
  try {
    const [first, second] = [parseGptEvent(before), parseGptEvent(after)]
    if (!samePart(first.header, second.header, DISK_ID.start, DISK_ID.end)) return false
    if (first.entries.length !== second.entries.length) return false
    return first.entries.every((entry, index) => {
      const other = second.entries[index]
      if (other === undefined) return false
      const fixed =
        samePart(entry, other, 0, LAST_BLOCK.start) &&
        samePart(entry, other, LAST_BLOCK.end, ENTRY_BYTES)
      const isLast = index === first.entries.length - 1
      return (
        fixed &&
        (isLast ? lastBlock(other) >= lastBlock(entry) : lastBlock(other) === lastBlock(entry))
      )
    })
  } catch (error) {
    if (error instanceof FormatError) return false
    throw error
  }
}

function samePart(a: Uint8Array, b: Uint8Array, start: number, end: number): boolean {
  return equalBytes(a.subarray(start, end), b.subarray(start, end))
}

function lastBlock(entry: Uint8Array): bigint {
  return new DataView(entry.buffer, entry.byteOffset + LAST_BLOCK.start, 8).getBigUint64(0, true)
}
