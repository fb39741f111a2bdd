/** Reads FAT12, FAT16 and FAT32 (Microsoft, "FAT: General Overview of On-Disk Format"), with long names. Little-endian. */
import type { BlockSource } from './block-source.ts'
import type { DirectoryEntry, DiskFiles } from './disk-files.ts'
import { malformed } from './block-source.ts'
import {
  COPY_BYTES,
  MAX_DIRECTORY_ENTRIES,
  MAX_EXTRACT_BYTES,
  MAX_READ_BYTES,
  isThere,
  notFound,
  pathParts,
  tooLarge,
  writeNew,
} from './disk-files.ts'

const BOOT = {
  sectorBytes: 11,
  sectorsPerCluster: 13,
  reservedSectors: 14,
  tables: 16,
  rootEntries: 17,
  sectors16: 19,
  tableSectors16: 22,
  sectors32: 32,
  tableSectors32: 36,
  rootCluster: 44,
  bytes: 512,
} as const
const ENTRY = {
  attributes: 11,
  caseFlags: 12,
  clusterHigh: 20,
  clusterLow: 26,
  size: 28,
  bytes: 32,
} as const
const ATTRIBUTE = { volume: 0x08, directory: 0x10, longName: 0x0f } as const
const DELETED = 0xe5
/** Characters of a piece of a long name: five, six and two UTF-16 units at these offsets. */
const LONG_NAME_PIECES = [
  [1, 11],
  [14, 26],
  [28, 32],
] as const
const MAX_TABLE_BYTES = 16 << 20
const FAT12_CLUSTERS = 4085
const FAT16_CLUSTERS = 65_525

interface Shape {
  readonly bits: 12 | 16 | 32
  readonly clusters: number
  readonly clusterBytes: number
  readonly dataStart: number
  readonly table: Buffer
  /** FAT12 and FAT16 keep the root at a fixed place. */
  readonly fixedRoot?: { readonly start: number; readonly bytes: number }
  readonly rootCluster: number
}

interface FatEntry extends DirectoryEntry {
  readonly kind: 'file' | 'directory'
  readonly cluster: number
  readonly sizeBytes: number
}

export class FatFiles implements DiskFiles {
  readonly kind = 'fat'
  readonly #source: BlockSource
  readonly #shape: Shape

  private constructor(source: BlockSource, shape: Shape) {
    this.#source = source
    this.#shape = shape
  }

  /** @throws CloisterError `disk-image.malformed` */
  static async open(source: BlockSource): Promise<FatFiles> {
    return new FatFiles(source, await readShape(source))
  }

  async list(path: string): Promise<readonly DirectoryEntry[]> {
    const entries = await this.#directory(pathParts(path), path)
    return entries.map(({ name, kind }) => ({ name, kind }))
  }

  async read(path: string, maxBytes = MAX_READ_BYTES): Promise<Buffer> {
    const pieces: Buffer[] = []
    for await (const piece of this.#content(path, maxBytes)) pieces.push(piece)
    return Buffer.concat(pieces)
  }

  async extract(path: string, to: string): Promise<number> {
    return writeNew(to, this.#content(path, MAX_EXTRACT_BYTES))
  }

  async has(path: string): Promise<boolean> {
    const parts = pathParts(path)
    return parts.length === 0 || isThere(this.#find(parts, path))
  }

  async *#content(path: string, maxBytes: number): AsyncGenerator<Buffer> {
    const { kind, cluster, sizeBytes } = await this.#find(pathParts(path), path)
    if (kind !== 'file') throw notFound(path)
    if (sizeBytes > maxBytes) throw tooLarge(path, sizeBytes, maxBytes)
    let left = sizeBytes
    for await (const piece of this.#chain(cluster, sizeBytes)) {
      yield piece.subarray(0, left)
      left -= Math.min(left, piece.length)
    }
  }

  async #find(parts: readonly string[], path: string): Promise<FatEntry> {
    const name = parts.at(-1)
    if (name === undefined) throw notFound(path)
    const siblings = await this.#directory(parts.slice(0, -1), path)
    const found = siblings.find((entry) => entry.name.toLowerCase() === name.toLowerCase())
    if (found === undefined) throw notFound(path)
    return found
  }

  async #directory(parts: readonly string[], path: string): Promise<readonly FatEntry[]> {
    const { fixedRoot, rootCluster } = this.#shape
    if (parts.length > 0) {
      const { kind, cluster } = await this.#find(parts, path)
      if (kind !== 'directory') throw notFound(path)
      return readEntries(await this.#directoryBytes(cluster))
    }
    if (fixedRoot !== undefined)
      return readEntries(await this.#source.read(fixedRoot.start, fixedRoot.bytes))
    return readEntries(await this.#directoryBytes(rootCluster))
  }

  async #directoryBytes(cluster: number): Promise<Buffer> {
    const pieces: Buffer[] = []
    const limit = MAX_DIRECTORY_ENTRIES * ENTRY.bytes
    for await (const piece of this.#chain(cluster, limit)) pieces.push(piece)
    return Buffer.concat(pieces)
  }

  /** The clusters of a chain, joined where they follow each other, until there are `bytes` or the chain ends. */
  async *#chain(first: number, bytes: number): AsyncGenerator<Buffer> {
    const { clusters, clusterBytes, dataStart } = this.#shape
    const most = Math.max(1, Math.floor(COPY_BYTES / clusterBytes))
    let left = Math.ceil(bytes / clusterBytes)
    let cluster = first
    while (left > 0 && this.#isData(cluster)) {
      const start = cluster
      let run = 1
      while (run < most && run < left && this.#next(cluster) === cluster + 1) {
        cluster += 1
        run += 1
      }
      if (start + run - 2 > clusters) throw malformed('FAT', 'a chain leaves the disk')
      yield await this.#source.read(dataStart + (start - 2) * clusterBytes, run * clusterBytes)
      left -= run
      cluster = this.#next(cluster)
    }
  }

  #isData(cluster: number): boolean {
    return cluster >= 2 && cluster < this.#shape.clusters + 2
  }

  #next(cluster: number): number {
    const { bits, table } = this.#shape
    if (bits === 32) return table.readUInt32LE(cluster * 4) & 0x0fff_ffff
    if (bits === 16) return table.readUInt16LE(cluster * 2)
    const pair = table.readUInt16LE(cluster + (cluster >> 1))
    return cluster % 2 === 0 ? pair & 0xfff : pair >> 4
  }
}

async function readShape(source: BlockSource): Promise<Shape> {
  const fault = (why: string) => malformed('FAT', why)
  const boot = await source.read(0, BOOT.bytes)
  const sectorBytes = boot.readUInt16LE(BOOT.sectorBytes)
  const perCluster = boot.readUInt8(BOOT.sectorsPerCluster)
  if (![512, 1024, 2048, 4096].includes(sectorBytes)) throw fault(`sectors of ${sectorBytes} bytes`)
  if (perCluster === 0 || (perCluster & (perCluster - 1)) !== 0)
    throw fault(`clusters of ${perCluster} sectors`)
  const reserved = boot.readUInt16LE(BOOT.reservedSectors)
  const tables = boot.readUInt8(BOOT.tables)
  const rootEntries = boot.readUInt16LE(BOOT.rootEntries)
  const sectors = boot.readUInt16LE(BOOT.sectors16) || boot.readUInt32LE(BOOT.sectors32)
  const tableSectors =
    boot.readUInt16LE(BOOT.tableSectors16) || boot.readUInt32LE(BOOT.tableSectors32)
  if (reserved === 0 || tables === 0 || tables > 4)
    throw fault('its first sector is not that of a FAT')
  if (sectors * sectorBytes > source.sizeBytes) throw fault('it is larger than its partition')
  const rootBytes = rootEntries * ENTRY.bytes
  const rootStart = (reserved + tables * tableSectors) * sectorBytes
  const dataStart = rootStart + Math.ceil(rootBytes / sectorBytes) * sectorBytes
  const clusterBytes = perCluster * sectorBytes
  const clusters = Math.floor((sectors * sectorBytes - dataStart) / clusterBytes)
  if (clusters < 1) throw fault('it has no room for data')
  const bits = clusters < FAT12_CLUSTERS ? 12 : clusters < FAT16_CLUSTERS ? 16 : 32
  const needed = Math.ceil(((clusters + 2) * bits) / 8)
  const tableBytes = tableSectors * sectorBytes
  if (needed > tableBytes || needed > MAX_TABLE_BYTES) throw fault('its table does not fit')
  // FAT12 entries are read two bytes at a time.
  const table = Buffer.concat([await source.read(reserved * sectorBytes, needed), Buffer.alloc(1)])
  return {
    bits,
    clusters,
    clusterBytes,
    dataStart,
    table,
    rootCluster: bits === 32 ? boot.readUInt32LE(BOOT.rootCluster) : 0,
    ...(bits !== 32 && { fixedRoot: { start: rootStart, bytes: rootBytes } }),
  }
}

function readEntries(bytes: Buffer): FatEntry[] {
  const entries: FatEntry[] = []
  let longName: string[] = []
  for (let at = 0; at + ENTRY.bytes <= bytes.length; at += ENTRY.bytes) {
    const entry = bytes.subarray(at, at + ENTRY.bytes)
    const first = entry.readUInt8(0)
    if (first === 0) break
    const attributes = entry.readUInt8(ENTRY.attributes)
    if (first === DELETED) longName = []
    else if ((attributes & 0x3f) === ATTRIBUTE.longName) {
      if ((first & 0x40) !== 0) longName = []
      longName.unshift(longNamePiece(entry))
    } else {
      const name = longName.length > 0 ? longName.join('').replace(/\0.*$/s, '') : shortName(entry)
      longName = []
      if ((attributes & ATTRIBUTE.volume) !== 0 || name === '.' || name === '..') continue
      entries.push({
        name,
        kind: (attributes & ATTRIBUTE.directory) === 0 ? 'file' : 'directory',
        cluster:
          (entry.readUInt16LE(ENTRY.clusterHigh) << 16) | entry.readUInt16LE(ENTRY.clusterLow),
        sizeBytes: entry.readUInt32LE(ENTRY.size),
      })
    }
  }
  return entries
}

function longNamePiece(entry: Buffer): string {
  return LONG_NAME_PIECES.map(([start, end]) => entry.toString('utf16le', start, end)).join('')
}

function shortName(entry: Buffer): string {
  const flags = entry.readUInt8(ENTRY.caseFlags)
  const part = (start: number, end: number, isLower: boolean) => {
    const text = entry.toString('latin1', start, end).trimEnd()
    return isLower ? text.toLowerCase() : text
  }
  const base = part(0, 8, (flags & 0x08) !== 0)
  const extension = part(8, 11, (flags & 0x10) !== 0)
  return extension === '' ? base : `${base}.${extension}`
}
