/**
 * A FAT12 file system with a few files in its root (Microsoft, "FAT: General Overview of On-Disk Format" 1.03). 2 MiB; the same bytes for
 * the same files.
 */
import { createHash } from 'node:crypto'

const SECTOR = 512
const TOTAL_SECTORS = 4096
const FATS = 2
const FAT_SECTORS = 12
const ROOT_ENTRIES = 64
const ENTRY = 32
const ROOT_SECTORS = (ROOT_ENTRIES * ENTRY) / SECTOR
const DATA_START = 1 + FATS * FAT_SECTORS + ROOT_SECTORS
/** One sector each, below the 4085 at which FAT16 starts; the first is number 2. */
const CLUSTERS = TOTAL_SECTORS - DATA_START
const END_OF_CHAIN = 0xfff
const ATTRIBUTE = { volume: 0x08, archive: 0x20, longName: 0x0f } as const
/** 1980-01-01: the first day of FAT. */
const DATE = 0x21

export interface FatFile {
  /** ASCII; with characters or a length that a short name cannot have. */
  readonly name: string
  readonly content: Uint8Array
}

/** What all files together may have. */
export const FAT_CAPACITY_BYTES = (CLUSTERS - 8) * SECTOR

/** @param label - at most 11 ASCII characters @throws RangeError when the files do not fit */
export function encodeFatImage(label: string, files: readonly FatFile[]): Uint8Array {
  const image = Buffer.alloc(TOTAL_SECTORS * SECTOR)
  const fat = [0xff8, END_OF_CHAIN]
  const entries: Buffer[] = [shortEntry(label.padEnd(11), ATTRIBUTE.volume, 0, 0)]
  for (const [index, { name, content }] of files.entries()) {
    const first = content.length === 0 ? 0 : fat.length
    image.set(content, (DATA_START + fat.length - 2) * SECTOR)
    for (let left = content.length; left > 0; left -= SECTOR)
      fat.push(left > SECTOR ? fat.length + 1 : END_OF_CHAIN)
    if (fat.length - 2 > CLUSTERS) throw new RangeError('the files do not fit')
    const alias = `${name.replaceAll(/[^a-z]/g, '').slice(0, 6)}~${index + 1}`.toUpperCase()
    const short = alias.padEnd(11)
    entries.push(...longEntries(name, short))
    entries.push(shortEntry(short, ATTRIBUTE.archive, first, content.length))
  }
  const digest = createHash('sha256')
  for (const { name, content } of files) digest.update(name).update(content)
  image.set(bootSector(label, digest.digest().subarray(0, 4)))
  const table = encodeFat12(fat)
  for (let copy = 0; copy < FATS; copy++) image.set(table, (1 + copy * FAT_SECTORS) * SECTOR)
  image.set(Buffer.concat(entries), (1 + FATS * FAT_SECTORS) * SECTOR)
  return image
}

function bootSector(label: string, serial: Uint8Array): Buffer {
  const sector = Buffer.alloc(SECTOR)
  // A jump over the parameters, to a loop.
  sector.set([0xeb, 0x3c, 0x90])
  sector.write('CLOISTER', 3, 'latin1')
  sector.writeUInt16LE(SECTOR, 11)
  sector.writeUInt8(1, 13)
  sector.writeUInt16LE(1, 14)
  sector.writeUInt8(FATS, 16)
  sector.writeUInt16LE(ROOT_ENTRIES, 17)
  sector.writeUInt16LE(TOTAL_SECTORS, 19)
  sector.writeUInt8(0xf8, 21)
  sector.writeUInt16LE(FAT_SECTORS, 22)
  sector.writeUInt16LE(32, 24)
  sector.writeUInt16LE(2, 26)
  sector.writeUInt8(0x80, 36)
  sector.writeUInt8(0x29, 38)
  sector.set(serial, 39)
  sector.write(label.padEnd(11), 43, 'latin1')
  sector.write('FAT12   ', 54, 'latin1')
  sector.set([0xeb, 0xfe], 62)
  sector.set([0x55, 0xaa], 510)
  return sector
}

/** Two entries of 12 bits in three bytes. */
function encodeFat12(entries: readonly number[]): Buffer {
  const table = Buffer.alloc(FAT_SECTORS * SECTOR)
  for (const [index, value] of entries.entries()) {
    const offset = Math.floor(index * 1.5)
    const word = table.readUInt16LE(offset)
    table.writeUInt16LE(index % 2 === 0 ? word | value : word | (value << 4), offset)
  }
  return table
}

function shortEntry(name: string, attribute: number, cluster: number, size: number): Buffer {
  const entry = Buffer.alloc(ENTRY)
  entry.write(name, 0, 'latin1')
  entry.writeUInt8(attribute, 11)
  entry.writeUInt16LE(DATE, 16)
  entry.writeUInt16LE(DATE, 18)
  entry.writeUInt16LE(DATE, 24)
  entry.writeUInt16LE(cluster, 26)
  entry.writeUInt32LE(size, 28)
  return entry
}

const LONG_PART = 13

/** Parts of 13 characters, the last one first, tied to the short name by its checksum. */
function longEntries(name: string, short: string): Buffer[] {
  const checksum = Array.from(short).reduce(
    (sum, character) => (((sum & 1) << 7) + (sum >> 1) + character.charCodeAt(0)) & 0xff,
    0,
  )
  const count = Math.ceil(name.length / LONG_PART)
  return Array.from({ length: count }, (_, index) => {
    const part = count - index
    const text = Buffer.alloc(LONG_PART * 2, 0xff)
    const piece = name.slice((part - 1) * LONG_PART, part * LONG_PART)
    text.write(piece.length < LONG_PART ? `${piece}\0` : piece, 0, 'utf16le')
    const entry = Buffer.alloc(ENTRY)
    entry.writeUInt8(index === 0 ? part | 0x40 : part, 0)
    text.copy(entry, 1, 0, 10)
    entry.writeUInt8(ATTRIBUTE.longName, 11)
    entry.writeUInt8(checksum, 13)
    text.copy(entry, 14, 10, 22)
    text.copy(entry, 28, 22, 26)
    return entry
  })
}
