/** Reads a GUID partition table (UEFI specification, 5.3) of 512-byte sectors. Little-endian. */
import { crc32 } from 'node:zlib'

import { guidFromBytes } from '@cloister/verifier/formats/guid'

import type { BlockSource } from './block-source.ts'
import { malformed } from './block-source.ts'

export interface Partition {
  /** As the operating system numbers it, from 1. */
  readonly number: number
  /** Lowercase GUID. */
  readonly type: string
  /** Lowercase GUID. */
  readonly id: string
  readonly name: string
  readonly startBytes: number
  readonly sizeBytes: number
}

export interface PartitionTable {
  readonly diskId: string
  readonly partitions: readonly Partition[]
  /** The header's 92 bytes and the entries in use, as firmware measures them (EV_EFI_GPT_EVENT). */
  readonly header: Buffer
  readonly usedEntries: readonly Buffer[]
}

export const SECTOR_BYTES = 512
export const PARTITION_TYPE = {
  esp: 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b',
  linuxRoot: '4f68bce3-e8cd-4db1-96e7-fbcaf984b709',
  extendedBoot: 'bc13c2ff-59e6-4262-a352-b275fd6f7172',
} as const

const HEADER = {
  signature: 0,
  size: 12,
  crc: 16,
  ownSector: 24,
  firstUsable: 40,
  lastUsable: 48,
  diskId: 56,
  entriesSector: 72,
  entryCount: 80,
  entryBytes: 84,
  entriesCrc: 88,
  bytes: 92,
} as const
const ENTRY = { type: 0, id: 16, first: 32, last: 40, name: 56, bytes: 128 } as const
const SIGNATURE = Buffer.from('EFI PART', 'latin1')
const MAX_ENTRIES = 1024
const UNUSED = '00000000-0000-0000-0000-000000000000'

/** @throws CloisterError `disk-image.malformed` */
export async function readPartitionTable(disk: BlockSource): Promise<PartitionTable> {
  const fault = (why: string) => malformed('partition table', why)
  if (disk.sizeBytes < 3 * SECTOR_BYTES) throw fault('the disk is too small for one')
  const sector = await disk.read(SECTOR_BYTES, SECTOR_BYTES)
  if (!sector.subarray(0, 8).equals(SIGNATURE)) throw fault('there is none of the kind GPT')
  const headerBytes = sector.readUInt32LE(HEADER.size)
  if (headerBytes < HEADER.bytes || headerBytes > SECTOR_BYTES)
    throw fault('its header has no fitting size')
  const zeroed = Buffer.from(sector.subarray(0, headerBytes))
  zeroed.writeUInt32LE(0, HEADER.crc)
  if (crc32(zeroed) !== sector.readUInt32LE(HEADER.crc))
    throw fault('the checksum of its header is wrong')
  if (sector.readBigUInt64LE(HEADER.ownSector) !== 1n)
    throw fault('its header says that it stands elsewhere')

  const count = sector.readUInt32LE(HEADER.entryCount)
  const size = sector.readUInt32LE(HEADER.entryBytes)
  if (size !== ENTRY.bytes || count > MAX_ENTRIES) throw fault(`${count} entries of ${size} bytes`)
  const at = Number(sector.readBigUInt64LE(HEADER.entriesSector)) * SECTOR_BYTES
  const entries = await disk.read(at, count * size)
  if (crc32(entries) !== sector.readUInt32LE(HEADER.entriesCrc))
    throw fault('the checksum of its entries is wrong')
  const first = Number(sector.readBigUInt64LE(HEADER.firstUsable)) * SECTOR_BYTES
  const end = (Number(sector.readBigUInt64LE(HEADER.lastUsable)) + 1) * SECTOR_BYTES
  if (end > disk.sizeBytes) throw fault('it describes a larger disk')

  const partitions: Partition[] = []
  const usedEntries: Buffer[] = []
  for (let index = 0; index < count; index++) {
    const entry = entries.subarray(index * size, (index + 1) * size)
    const partition = readEntry(entry, index + 1)
    if (partition === undefined) continue
    const last = partition.startBytes + partition.sizeBytes
    if (partition.sizeBytes <= 0 || partition.startBytes < first || last > end)
      throw fault(`partition ${partition.number} lies outside of the disk`)
    partitions.push(partition)
    usedEntries.push(entry)
  }
  checkOverlap(partitions)
  const header = sector.subarray(0, HEADER.bytes)
  const diskId = guidFromBytes(sector.subarray(HEADER.diskId, HEADER.diskId + 16))
  return { diskId, partitions, header, usedEntries }
}

function readEntry(entry: Buffer, number: number): Partition | undefined {
  const type = guidFromBytes(entry.subarray(ENTRY.type, ENTRY.type + 16))
  if (type === UNUSED) return undefined
  const start = Number(entry.readBigUInt64LE(ENTRY.first)) * SECTOR_BYTES
  const last = Number(entry.readBigUInt64LE(ENTRY.last)) * SECTOR_BYTES
  return {
    number,
    type,
    id: guidFromBytes(entry.subarray(ENTRY.id, ENTRY.id + 16)),
    name: entry.toString('utf16le', ENTRY.name, ENTRY.bytes).replace(/\0.*$/s, ''),
    startBytes: start,
    sizeBytes: last + SECTOR_BYTES - start,
  }
}

function checkOverlap(partitions: readonly Partition[]): void {
  const sorted = partitions.toSorted((a, b) => a.startBytes - b.startBytes)
  for (const [index, { startBytes }] of sorted.entries()) {
    const before = sorted[index - 1]
    if (before !== undefined && before.startBytes + before.sizeBytes > startBytes)
      throw malformed(
        'partition table',
        `partitions ${before.number} and ${sorted[index]?.number} overlap`,
      )
  }
}
