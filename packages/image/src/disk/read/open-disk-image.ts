/**
 * Looks into a disk image on the owner's side: no mount, no root, no loop device. The image's author is not trusted: every number in
 * it is checked before it is used, and what one look may read is bounded.
 */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'

import { CloisterError } from '@cloister/protocol/error'

import type { BlockSource } from './block-source.ts'
import type { DiskFiles } from './disk-files.ts'
import type { Partition, PartitionTable } from './partition-table.ts'
import { LimitedSource, RawSource, SourceRange } from './block-source.ts'
import { BootMounted } from './boot-mounted.ts'
import { Ext4Files } from './ext4.ts'
import { FatFiles } from './fat.ts'
import { PARTITION_TYPE, readPartitionTable } from './partition-table.ts'
import { Qcow2Source } from './qcow2-source.ts'

export type DiskFormat = 'raw' | 'qcow2'

export interface OpenDiskOptions {
  readonly signal?: AbortSignal | undefined
  /** Of the whole look. Absent: two minutes, many times what a kernel and its modules need. */
  readonly timeoutMs?: number
}

export interface DiskImage extends AsyncDisposable {
  readonly sizeBytes: number
  readonly table: PartitionTable
  readonly partitions: readonly Partition[]
  /** The EFI system partition. Absent: there is none, or no FAT in it. */
  readonly esp?: DiskFiles
  /** The root of the operating system, its boot partition in place. Absent: there is none that can be read; {@link requireRoot} says why. */
  readonly root?: DiskFiles
  /** What stands in the partitions that could be the root but cannot be read, such as `xfs`. */
  readonly unreadable: readonly string[]
}

const DEFAULT_TIMEOUT_MS = 120_000
const MAX_TOTAL_BYTES = 8 * 2 ** 30
const MAX_READS = 2_000_000
const MAX_PARTITIONS_LOOKED_AT = 32

/**
 * @param path - of the image
 * @throws CloisterError `disk.not-found`, `disk.unreadable`, those of {@link Qcow2Source.open}, `disk-image.malformed`, `disk-image.too-much`
 */
export async function openDiskImage(
  path: string,
  format: DiskFormat,
  { signal, timeoutMs = DEFAULT_TIMEOUT_MS }: OpenDiskOptions = {},
): Promise<DiskImage> {
  const file = await openFile(path)
  const deadline = new AbortController()
  const timer = setTimeout(() => {
    deadline.abort(new CloisterError('disk-image.too-much', { where: 'time' }))
  }, timeoutMs).unref()
  try {
    const limits = {
      totalBytes: MAX_TOTAL_BYTES,
      reads: MAX_READS,
      signal: signal === undefined ? deadline.signal : AbortSignal.any([signal, deadline.signal]),
    }
    const information = await file.stat()
    if (!information.isFile()) throw new CloisterError('disk.unreadable', { where: path })
    const raw = new LimitedSource(new RawSource(file, information.size), limits)
    const disk = format === 'qcow2' ? await Qcow2Source.open(raw) : raw
    const table = await readPartitionTable(disk)
    const systems = await readFileSystems(disk, table)
    return {
      sizeBytes: disk.sizeBytes,
      table,
      partitions: table.partitions,
      ...systems,
      async [Symbol.asyncDispose]() {
        clearTimeout(timer)
        await file.close()
      },
    }
  } catch (error) {
    clearTimeout(timer)
    await file.close()
    throw error
  }
}

/** @throws CloisterError `disk-image.no-root` */
export function requireRoot({ root, unreadable }: DiskImage): DiskFiles {
  if (root !== undefined) return root
  throw new CloisterError('disk-image.no-root', {
    ...(unreadable.length > 0 && { received: unreadable.join(', ') }),
  })
}

/** @throws CloisterError `disk-image.no-esp` */
export function requireEsp({ esp }: DiskImage): DiskFiles {
  if (esp === undefined) throw new CloisterError('disk-image.no-esp')
  return esp
}

async function openFile(path: string) {
  try {
    // Not blocking, for a name may be that of a pipe.
    return await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    const isAbsent = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT'
    throw new CloisterError(isAbsent ? 'disk.not-found' : 'disk.unreadable', { where: path, cause })
  }
}

async function readFileSystems(
  disk: BlockSource,
  { partitions }: PartitionTable,
): Promise<Pick<DiskImage, 'esp' | 'root' | 'unreadable'>> {
  const unreadable: string[] = []
  const found: { partition: Partition; files: Ext4Files }[] = []
  let esp: DiskFiles | undefined
  for (const partition of partitions.slice(0, MAX_PARTITIONS_LOOKED_AT)) {
    const source = new SourceRange(disk, partition.startBytes, partition.sizeBytes)
    if (partition.type === PARTITION_TYPE.esp) {
      esp ??= await FatFiles.open(source)
      continue
    }
    const files = await Ext4Files.open(source)
    if (files !== undefined) found.push({ partition, files })
    else {
      const name = await recognise(source)
      if (name !== undefined) unreadable.push(name)
    }
  }
  const root = await chooseRoot(found)
  return { unreadable, ...(esp && { esp }), ...(root && { root }) }
}

/** The one that says so, or else the first with an operating system. A boot partition shows at `/boot`. */
async function chooseRoot(
  found: readonly { partition: Partition; files: Ext4Files }[],
): Promise<DiskFiles | undefined> {
  const named = found.filter(({ partition }) => partition.type === PARTITION_TYPE.linuxRoot)
  for (const { files } of [...named, ...found]) {
    if (!(await files.has('/etc')) || !(await files.has('/usr'))) continue
    const boot = found.find(
      (other) => other.files !== files && other.partition.type === PARTITION_TYPE.extendedBoot,
    )
    return boot === undefined ? files : new BootMounted(files, boot.files)
  }
  return undefined
}

/** What a partition holds that is not read here, by its magic numbers. */
export async function recognise(source: BlockSource): Promise<string | undefined> {
  const signs = [
    ['xfs', 0, 'XFSB'],
    ['LUKS', 0, 'LUKS\u00ba\u00be'],
    ['LVM', 512, 'LABELONE'],
    ['btrfs', 65_600, '_BHRfS_M'],
  ] as const
  for (const [name, offset, sign] of signs) {
    if (offset + sign.length > source.sizeBytes) continue
    const bytes = await source.read(offset, sign.length)
    if (bytes.toString('latin1') === sign) return name
  }
  return undefined
}
