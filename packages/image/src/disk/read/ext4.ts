/**
 * Reads ext2, ext3 and ext4 (Linux, Documentation/filesystems/ext4), as GRUB does: without the journal. Little-endian. Checksums are
 * not looked at: whoever writes the image writes them too.
 */
import { CloisterError } from '@cloister/protocol/error'

import type { BlockSource } from './block-source.ts'
import type { DirectoryEntry, DiskFiles, EntryKind } from './disk-files.ts'
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

const SUPER = {
  offset: 1024,
  inodes: 0,
  blocksLow: 4,
  firstDataBlock: 20,
  logBlockBytes: 24,
  blocksPerGroup: 32,
  inodesPerGroup: 40,
  magic: 56,
  revision: 76,
  inodeBytes: 88,
  incompatible: 96,
  id: 104,
  label: 120,
  descriptorBytes: 254,
  blocksHigh: 336,
  bytes: 1024,
} as const
const MAGIC = 0xef53
/** Incompatible features that change nothing for a reader, or are read below. */
const INCOMPATIBLE = {
  fileType: 0x2,
  needsRecovery: 0x4,
  extents: 0x40,
  wide: 0x80,
  multipleMountProtection: 0x100,
  flexibleGroups: 0x200,
  attributesInInodes: 0x400,
  checksumSeed: 0x2000,
  largeDirectories: 0x4000,
  inlineData: 0x8000,
  encryption: 0x10000,
  caseFolding: 0x20000,
} as const
const KNOWN = Object.values(INCOMPATIBLE).reduce((all: number, bit) => all | bit, 0)
const GROUP = { inodeTableLow: 8, inodeTableHigh: 40 } as const
const INODE = {
  mode: 0,
  sizeLow: 4,
  flags: 32,
  blocks: 40,
  blocksBytes: 60,
  sizeHigh: 108,
} as const
const INODE_FLAG = { encrypted: 0x800, extents: 0x80000, inline: 0x1000_0000 } as const
const FORMAT_MASK = 0xf000
const FORMAT = { directory: 0x4000, file: 0x8000, symlink: 0xa000 } as const
const EXTENT_MAGIC = 0xf30a
const EXTENT_BYTES = 12
const MAX_EXTENT_DEPTH = 5
const MAX_EXTENTS = 1 << 20
const UNWRITTEN = 32_768
const DIRECT_BLOCKS = 12
const ROOT_INODE = 2
const MAX_LINKS = 16
const MAX_LINK_BYTES = 4096

interface Inode {
  readonly number: number
  readonly mode: number
  readonly flags: number
  readonly sizeBytes: number
  /** The 60 bytes that hold the map of blocks, or a short link's target. */
  readonly blocks: Buffer
}

/** A run of blocks of a file. `physical` is absent for a hole. */
interface Run {
  readonly logical: number
  readonly count: number
  readonly physical?: number
}

export class Ext4Files implements DiskFiles {
  readonly kind: 'ext4'
  /** With hyphens, as GRUB's `search --fs-uuid` has it. */
  readonly id: string
  /** It was not unmounted: what stands in the journal alone is not seen, as GRUB does not see it. */
  readonly needsRecovery: boolean
  readonly #source: BlockSource
  readonly #blockBytes: number
  readonly #inodeBytes: number
  readonly #inodes: number
  readonly #inodesPerGroup: number
  readonly #descriptorBytes: number
  readonly #descriptorStart: number

  private constructor(source: BlockSource, superBlock: Buffer, incompatible: number) {
    const fault = (why: string) => malformed('ext4', why)
    const logBlock = superBlock.readUInt32LE(SUPER.logBlockBytes)
    if (logBlock > 6) throw fault(`blocks of 2^${logBlock + 10} bytes`)
    const isWide = (incompatible & INCOMPATIBLE.wide) !== 0
    const firstData = superBlock.readUInt32LE(SUPER.firstDataBlock)
    this.kind = 'ext4'
    this.#source = source
    this.#blockBytes = 1024 << logBlock
    this.#inodes = superBlock.readUInt32LE(SUPER.inodes)
    this.#inodesPerGroup = superBlock.readUInt32LE(SUPER.inodesPerGroup)
    const revision = superBlock.readUInt32LE(SUPER.revision)
    this.#inodeBytes = revision === 0 ? 128 : superBlock.readUInt16LE(SUPER.inodeBytes)
    this.#descriptorBytes = isWide ? superBlock.readUInt16LE(SUPER.descriptorBytes) : 32
    this.#descriptorStart = (firstData + 1) * this.#blockBytes
    const high = isWide ? superBlock.readUInt32LE(SUPER.blocksHigh) : 0
    const blocks = high * 2 ** 32 + superBlock.readUInt32LE(SUPER.blocksLow)
    if (this.#inodeBytes < 128 || this.#inodeBytes > this.#blockBytes)
      throw fault('its inodes have no fitting size')
    if (this.#descriptorBytes < 32 || this.#descriptorBytes > 1024)
      throw fault('its groups have no fitting size')
    if (this.#inodesPerGroup === 0 || firstData > 1)
      throw fault('its superblock contradicts itself')
    if (blocks * this.#blockBytes > source.sizeBytes) throw fault('it is larger than its partition')
    this.needsRecovery = (incompatible & INCOMPATIBLE.needsRecovery) !== 0
    const id = superBlock.toString('hex', SUPER.id, SUPER.id + 16)
    this.id = id.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
  }

  /** Undefined when the source holds another file system. @throws CloisterError `disk-image.malformed`, `disk-image.unsupported` */
  static async open(source: BlockSource): Promise<Ext4Files | undefined> {
    if (source.sizeBytes < SUPER.offset + SUPER.bytes) return undefined
    const superBlock = await source.read(SUPER.offset, SUPER.bytes)
    if (superBlock.readUInt16LE(SUPER.magic) !== MAGIC) return undefined
    const incompatible = superBlock.readUInt32LE(SUPER.incompatible)
    if ((incompatible & ~KNOWN) !== 0)
      throw new CloisterError('disk-image.unsupported', {
        where: 'ext4',
        received: `features 0x${(incompatible >>> 0).toString(16)}`,
      })
    return new Ext4Files(source, superBlock, incompatible)
  }

  async list(path: string): Promise<readonly DirectoryEntry[]> {
    const inode = await this.#resolve(path)
    const entries = await this.#entries(inode, path)
    return entries.map(({ name, kind }) => ({ name, kind }))
  }

  async read(path: string, maxBytes = MAX_READ_BYTES): Promise<Buffer> {
    const pieces: Buffer[] = []
    for await (const piece of this.#file(path, maxBytes)) pieces.push(piece)
    return Buffer.concat(pieces)
  }

  async extract(path: string, to: string): Promise<number> {
    return writeNew(to, this.#file(path, MAX_EXTRACT_BYTES))
  }

  async has(path: string): Promise<boolean> {
    return isThere(this.#resolve(path))
  }

  async *#file(path: string, maxBytes: number): AsyncGenerator<Buffer> {
    const inode = await this.#resolve(path)
    if ((inode.mode & FORMAT_MASK) !== FORMAT.file) throw notFound(path)
    if (inode.sizeBytes > maxBytes) throw tooLarge(path, inode.sizeBytes, maxBytes)
    yield* this.#content(inode)
  }

  /** Follows links, also the last one; `..` and absolute targets stay within the file system. */
  async #resolve(path: string): Promise<Inode> {
    const pending = pathParts(path)
    const trail: Inode[] = [await this.#inode(ROOT_INODE)]
    let links = 0
    for (let name = pending.shift(); name !== undefined; name = pending.shift()) {
      if (name === '..') {
        if (trail.length > 1) trail.pop()
        continue
      }
      const parent = trail.at(-1)
      if (parent === undefined) throw notFound(path)
      const wanted = name
      const found = (await this.#entries(parent, path)).find((entry) => entry.name === wanted)
      if (found === undefined) throw notFound(path)
      const inode = await this.#inode(found.inode)
      if ((inode.mode & FORMAT_MASK) !== FORMAT.symlink) {
        trail.push(inode)
        continue
      }
      links += 1
      if (links > MAX_LINKS) throw malformed('ext4', `too many links at ${path.slice(0, 200)}`)
      const target = await this.#linkTarget(inode)
      if (target.startsWith('/')) trail.length = 1
      pending.unshift(...pathParts(target))
    }
    const last = trail.at(-1)
    if (last === undefined) throw notFound(path)
    return last
  }

  async #linkTarget(inode: Inode): Promise<string> {
    if (inode.sizeBytes > MAX_LINK_BYTES) throw malformed('ext4', 'a link is too long')
    const isShort = inode.sizeBytes < INODE.blocksBytes && (inode.flags & INODE_FLAG.extents) === 0
    if (isShort) return inode.blocks.toString('utf8', 0, inode.sizeBytes)
    const pieces: Buffer[] = []
    for await (const piece of this.#content(inode)) pieces.push(piece)
    return Buffer.concat(pieces).toString('utf8')
  }

  async #inode(number: number): Promise<Inode> {
    if (number < 1 || number > this.#inodes) throw malformed('ext4', `there is no inode ${number}`)
    const group = Math.floor((number - 1) / this.#inodesPerGroup)
    const at = this.#descriptorStart + group * this.#descriptorBytes
    const descriptor = await this.#source.read(at, this.#descriptorBytes)
    const high = this.#descriptorBytes >= 64 ? descriptor.readUInt32LE(GROUP.inodeTableHigh) : 0
    const table = high * 2 ** 32 + descriptor.readUInt32LE(GROUP.inodeTableLow)
    const offset =
      table * this.#blockBytes + ((number - 1) % this.#inodesPerGroup) * this.#inodeBytes
    const bytes = await this.#source.read(offset, 128)
    const mode = bytes.readUInt16LE(INODE.mode)
    const sizeHigh = (mode & FORMAT_MASK) === FORMAT.file ? bytes.readUInt32LE(INODE.sizeHigh) : 0
    return {
      number,
      mode,
      flags: bytes.readUInt32LE(INODE.flags),
      sizeBytes: sizeHigh * 2 ** 32 + bytes.readUInt32LE(INODE.sizeLow),
      blocks: bytes.subarray(INODE.blocks, INODE.blocks + INODE.blocksBytes),
    }
  }

  async #entries(inode: Inode, path: string): Promise<(DirectoryEntry & { inode: number })[]> {
    if ((inode.mode & FORMAT_MASK) !== FORMAT.directory) throw notFound(path)
    const entries: (DirectoryEntry & { inode: number })[] = []
    const limit = MAX_DIRECTORY_ENTRIES * 264
    if (inode.sizeBytes > limit) throw tooLarge(path, inode.sizeBytes, limit)
    const pieces: Buffer[] = []
    for await (const piece of this.#content(inode)) pieces.push(piece)
    const bytes = Buffer.concat(pieces)
    for (let at = 0; at + 8 <= bytes.length;) {
      const length = bytes.readUInt16LE(at + 4)
      const nameLength = bytes.readUInt8(at + 6)
      if (length < 8 || at + length > bytes.length || nameLength + 8 > length)
        throw malformed(
          'ext4',
          `the directory ${path.slice(0, 200)} has an entry of ${length} bytes`,
        )
      const number = bytes.readUInt32LE(at)
      const name = bytes.toString('utf8', at + 8, at + 8 + nameLength)
      if (number !== 0 && name !== '.' && name !== '..')
        entries.push({ name, kind: kindOf(bytes.readUInt8(at + 7)), inode: number })
      at += length
    }
    return entries
  }

  async *#content(inode: Inode): AsyncGenerator<Buffer> {
    const { sizeBytes, flags } = inode
    if ((flags & (INODE_FLAG.encrypted | INODE_FLAG.inline)) !== 0)
      throw new CloisterError('disk-image.unsupported', {
        where: 'ext4',
        received: 'a file that is encrypted or stored in its inode',
      })
    const blocks = Math.ceil(sizeBytes / this.#blockBytes)
    const runs =
      (flags & INODE_FLAG.extents) === 0 ? this.#mapped(inode, blocks) : this.#extents(inode)
    const most = Math.floor(COPY_BYTES / this.#blockBytes)
    let next = 0
    for await (const { logical, count, physical } of withHoles(runs, blocks)) {
      if (logical !== next) throw malformed('ext4', 'the blocks of a file are out of order')
      for (let done = 0; done < count; done += most) {
        const piece = Math.min(most, count - done)
        const start = (logical + done) * this.#blockBytes
        const bytes = Math.min(piece * this.#blockBytes, sizeBytes - start)
        if (physical === undefined) yield Buffer.alloc(bytes)
        else yield await this.#source.read((physical + done) * this.#blockBytes, bytes)
      }
      next = logical + count
    }
  }

  async *#extents({ blocks }: Inode): AsyncGenerator<Run> {
    let count = 0
    const source = this.#source
    const blockBytes = this.#blockBytes
    async function* node(bytes: Buffer, depth: number | undefined): AsyncGenerator<Run> {
      const own = bytes.readUInt16LE(6)
      const entries = bytes.readUInt16LE(2)
      // INVARIANT: the depth falls from node to node, so that no loop of nodes is followed.
      const fits = depth === undefined ? own <= MAX_EXTENT_DEPTH : own === depth
      if (
        bytes.readUInt16LE(0) !== EXTENT_MAGIC ||
        !fits ||
        (entries + 1) * EXTENT_BYTES > bytes.length
      )
        throw malformed('ext4', 'the extents of a file are malformed')
      for (let index = 1; index <= entries; index++) {
        count += 1
        if (count > MAX_EXTENTS) throw malformed('ext4', 'a file has too many extents')
        const entry = bytes.subarray(index * EXTENT_BYTES, (index + 1) * EXTENT_BYTES)
        const logical = entry.readUInt32LE(0)
        if (own > 0) {
          const child = entry.readUInt16LE(8) * 2 ** 32 + entry.readUInt32LE(4)
          yield* node(await source.read(child * blockBytes, blockBytes), own - 1)
          continue
        }
        const length = entry.readUInt16LE(4)
        const physical = entry.readUInt16LE(6) * 2 ** 32 + entry.readUInt32LE(8)
        if (length > UNWRITTEN) yield { logical, count: length - UNWRITTEN }
        else yield { logical, count: length, physical }
      }
    }
    yield* node(blocks, undefined)
  }

  /** The old map: twelve blocks, then one, two and three levels of tables. */
  async *#mapped({ blocks: map }: Inode, total: number): AsyncGenerator<Run> {
    const perBlock = this.#blockBytes / 4
    let logical = 0
    const source = this.#source
    const blockBytes = this.#blockBytes
    async function* level(block: number, depth: number): AsyncGenerator<Run> {
      if (logical >= total) return
      if (depth === 0 || block === 0) {
        const count = Math.min(perBlock ** depth, total - logical)
        yield { logical, count, ...(block !== 0 && { physical: block }) }
        logical += count
        return
      }
      const table = await source.read(block * blockBytes, blockBytes)
      for (let index = 0; index < perBlock && logical < total; index++)
        yield* level(table.readUInt32LE(index * 4), depth - 1)
    }
    for (let index = 0; index < DIRECT_BLOCKS; index++) yield* level(map.readUInt32LE(index * 4), 0)
    for (let depth = 1; depth <= 3; depth++)
      yield* level(map.readUInt32LE((DIRECT_BLOCKS + depth - 1) * 4), depth)
  }
}

/** Fills what lies between runs, and behind the last, with holes; cuts what lies behind the end. */
async function* withHoles(runs: AsyncIterable<Run>, blocks: number): AsyncGenerator<Run> {
  let next = 0
  for await (const run of runs) {
    if (run.logical > next && next < blocks)
      yield { logical: next, count: Math.min(run.logical, blocks) - next }
    const count = Math.min(run.count, blocks - run.logical)
    if (count > 0) yield { ...run, count }
    next = Math.max(next, run.logical + run.count)
  }
  if (next < blocks) yield { logical: next, count: blocks - next }
}

function kindOf(type: number): EntryKind {
  if (type === 1) return 'file'
  if (type === 2) return 'directory'
  return type === 7 ? 'symlink' : 'other'
}
