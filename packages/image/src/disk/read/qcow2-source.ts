/**
 * Reads qcow2 (QEMU, docs/interop/qcow2.rst), versions 2 and 3, big-endian, without QEMU: an image of an unknown author must neither name
 * other files of this machine nor feed QEMU's parsers with the owner's rights.
 */
import { promisify } from 'node:util'
import { constants, createZstdDecompress, inflateRaw } from 'node:zlib'

import { CloisterError } from '@cloister/protocol/error'

import type { BlockSource } from './block-source.ts'
import { malformed } from './block-source.ts'

const HEADER = {
  magic: 0,
  version: 4,
  backingFileOffset: 8,
  clusterBits: 20,
  sizeHigh: 24,
  sizeLow: 28,
  cryptMethod: 32,
  l1Entries: 36,
  l1Offset: 40,
  incompatible: 72,
  compressionType: 104,
  bytes: 112,
} as const
const MAGIC = 0x51_46_49_fb
/** Incompatible features, bits of the low word: dirty (reference counts only), corrupt, external data file, compression type, extended L2. */
const FEATURE = { dirty: 1, corrupt: 2, externalData: 4, compression: 8, extendedL2: 16 } as const
const MAX_DISK_BYTES = 64 * 2 ** 40
const MAX_L1_BYTES = 32 << 20
/** Bits 9 to 55 of an entry. */
const OFFSET_MASK = 0x00ff_ffff_ffff_fe00n
const COMPRESSED = 1n << 62n
const ZERO = 1n
const CACHED_TABLES = 64
const SECTOR = 512

const inflate = promisify(inflateRaw)

export class Qcow2Source implements BlockSource {
  readonly sizeBytes: number
  readonly #file: BlockSource
  readonly #clusterBits: number
  readonly #l1: Buffer
  readonly #isZstd: boolean
  /** L2 tables by their offset, the least recently added first. */
  readonly #tables = new Map<number, Buffer>()

  private constructor(
    file: BlockSource,
    sizeBytes: number,
    clusterBits: number,
    l1: Buffer,
    isZstd: boolean,
  ) {
    this.#file = file
    this.sizeBytes = sizeBytes
    this.#clusterBits = clusterBits
    this.#l1 = l1
    this.#isZstd = isZstd
  }

  /**
   * @param file - of the image itself
   * @throws CloisterError `disk.malformed`, `disk.backing-file`, `disk.encrypted`, `disk.feature-unsupported`, `disk-image.malformed`
   */
  static async open(file: BlockSource): Promise<Qcow2Source> {
    const header = Buffer.alloc(HEADER.bytes)
    ;(await file.read(0, Math.min(HEADER.bytes, file.sizeBytes))).copy(header)
    if (header.readUInt32BE(HEADER.magic) !== MAGIC) throw headerFault('it has no magic number')
    const version = header.readUInt32BE(HEADER.version)
    if (version !== 2 && version !== 3) throw headerFault(`version ${version}`)
    if (header.readBigUInt64BE(HEADER.backingFileOffset) !== 0n)
      throw new CloisterError('disk.backing-file', { where: 'qcow2 header' })
    if (header.readUInt32BE(HEADER.cryptMethod) !== 0)
      throw new CloisterError('disk.encrypted', { where: 'qcow2 header' })
    const isZstd = version === 3 && readFeatures(header)
    const clusterBits = header.readUInt32BE(HEADER.clusterBits)
    if (clusterBits < 9 || clusterBits > 21) throw headerFault(`clusters of 2^${clusterBits} bytes`)
    const size = header.readBigUInt64BE(HEADER.sizeHigh)
    if (size > BigInt(MAX_DISK_BYTES)) throw headerFault('it is larger than any disk')
    const l1Bytes = header.readUInt32BE(HEADER.l1Entries) * 8
    const needed = Math.ceil(Number(size) / 2 ** (2 * clusterBits - 3)) * 8
    if (l1Bytes > MAX_L1_BYTES || l1Bytes < needed)
      throw headerFault('its first table does not fit')
    const l1 = await file.read(Number(header.readBigUInt64BE(HEADER.l1Offset)), l1Bytes)
    return new Qcow2Source(file, Number(size), clusterBits, l1, isZstd)
  }

  async read(offset: number, length: number): Promise<Buffer> {
    if (offset < 0 || length < 0 || offset + length > this.sizeBytes)
      throw malformed('disk', `it refers to ${length} bytes at ${offset}, outside of itself`)
    const bytes = Buffer.alloc(length)
    const clusterBytes = 2 ** this.#clusterBits
    for (let done = 0; done < length;) {
      const within = (offset + done) % clusterBytes
      const count = Math.min(clusterBytes - within, length - done)
      const piece = await this.#readCluster(
        Math.floor((offset + done) / clusterBytes),
        within,
        count,
      )
      piece?.copy(bytes, done)
      done += count
    }
    return bytes
  }

  /** Undefined for zeros. */
  async #readCluster(cluster: number, within: number, count: number): Promise<Buffer | undefined> {
    const entry = await this.#entry(cluster)
    if ((entry & COMPRESSED) !== 0n)
      return (await this.#decompress(entry)).subarray(within, within + count)
    const offset = Number(entry & OFFSET_MASK)
    if (offset === 0 || (entry & ZERO) !== 0n) return undefined
    return this.#file.read(offset + within, count)
  }

  async #entry(cluster: number): Promise<bigint> {
    const perTable = 2 ** (this.#clusterBits - 3)
    const at = Math.floor(cluster / perTable) * 8
    const tableOffset = Number(this.#l1.readBigUInt64BE(at) & OFFSET_MASK)
    if (tableOffset === 0) return 0n
    let table = this.#tables.get(tableOffset)
    if (table === undefined) {
      table = await this.#file.read(tableOffset, 2 ** this.#clusterBits)
      const [oldest] = this.#tables.keys()
      if (this.#tables.size >= CACHED_TABLES && oldest !== undefined) this.#tables.delete(oldest)
      this.#tables.set(tableOffset, table)
    }
    return table.readBigUInt64BE((cluster % perTable) * 8)
  }

  /** Of the entry, the low `62 - (clusterBits - 8)` bits are the offset in bytes, the rest the number of further sectors. */
  async #decompress(entry: bigint): Promise<Buffer> {
    const offsetBits = BigInt(62 - (this.#clusterBits - 8))
    const offset = Number(entry & ((1n << offsetBits) - 1n))
    const sectors = Number((entry & (COMPRESSED - 1n)) >> offsetBits) + 1
    const end = Math.min(offset - (offset % SECTOR) + sectors * SECTOR, this.#file.sizeBytes)
    const packed = await this.#file.read(offset, end - offset)
    const bytes = 2 ** this.#clusterBits
    try {
      const plain = this.#isZstd
        ? await firstFrame(packed, bytes)
        : await inflate(packed, { maxOutputLength: bytes })
      if (plain.length === bytes) return plain
    } catch {
      // Said below, whatever the decompressor calls it.
    }
    throw malformed('qcow2', 'a compressed cluster cannot be decompressed')
  }
}

/** What follows in the last sector may be the frames of other clusters: as soon as there are enough bytes, the rest is left alone. */
async function firstFrame(packed: Buffer, bytes: number): Promise<Buffer> {
  const stream = createZstdDecompress({
    chunkSize: Math.max(bytes, 1024),
    finishFlush: constants.ZSTD_e_flush,
  })
  stream.end(packed)
  const pieces: Buffer[] = []
  let length = 0
  for await (const piece of stream as AsyncIterable<Buffer>) {
    pieces.push(piece)
    length += piece.length
    if (length >= bytes) break
  }
  return Buffer.concat(pieces).subarray(0, bytes)
}

/** Of version 3. @returns whether clusters are compressed by zstd */
function readFeatures(header: Buffer): boolean {
  const high = header.readUInt32BE(HEADER.incompatible)
  const low = header.readUInt32BE(HEADER.incompatible + 4)
  const known = FEATURE.dirty | FEATURE.compression
  if (high !== 0 || (low & ~known) !== 0)
    throw new CloisterError('disk.feature-unsupported', {
      where: 'qcow2 header',
      received: `0x${header.subarray(HEADER.incompatible, HEADER.incompatible + 8).toString('hex')}`,
    })
  if ((low & FEATURE.compression) === 0) return false
  const type = header[HEADER.compressionType]
  if (type !== 0 && type !== 1) throw headerFault(`compression of type ${type}`)
  return type === 1
}

function headerFault(why: string): CloisterError {
  return new CloisterError('disk.malformed', { where: 'qcow2 header', why })
}
