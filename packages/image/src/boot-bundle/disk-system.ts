/**
 * What an owner's disk image holds that a measured boot needs: its root, its newest kernel with that kernel's modules, what its fstab mounts,
 * whether it has cloud-init, which of its programs take orders from the host, and what lets the host in at the console.
 */
import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'

import { CloisterError } from '@cloister/protocol/error'
import { ROOT_FILE_SYSTEMS } from '@cloister/protocol/vm-workload'
import { z } from 'zod'

import type { BuildContext } from '../run.ts'
import type { DiskKernel } from './build-bundle.ts'
import { LimitedSource, RawSource, SourceRange } from '../disk/read/block-source.ts'
import { Ext4Files } from '../disk/read/ext4.ts'
import { recognise } from '../disk/read/open-disk-image.ts'
import { exists } from '../files.ts'
import { run } from '../run.ts'
import {
  copyExt,
  copyExtTree,
  existsInExt,
  listExt,
  readExt,
  SYSTEM_TOOLS,
  type ExtFileSystem,
} from './ext-files.ts'
import { findOpenings, type ImageOpenings } from './image-openings.ts'

export interface DiskSystem {
  /** Number of the root's partition. */
  readonly partition: number
  readonly root: ExtFileSystem
  /** Of the root's partition. */
  readonly rootBytes: number
  readonly kernel: DiskKernel
  readonly init: string
  /** Mount points of the fstab that lie on other partitions of this disk. */
  readonly otherMounts: readonly string[]
  readonly hasCloudInit: boolean
  /** Paths of programs by which whoever runs the host commands the VM. */
  readonly hostAgents: readonly string[]
  readonly openings: ImageOpenings
}

const TableSchema = z.object({
  partitiontable: z.object({
    sectorsize: z.int().positive().default(512),
    partitions: z.array(
      z.object({ node: z.string(), start: z.int().min(0), size: z.int().min(1), type: z.string() }),
    ),
  }),
})
const EXT_MAGIC = { offset: 1024 + 0x38, value: 0xef53 } as const

const INIT = '/sbin/init'
const MODULE_FOLDERS = ['/usr/lib/modules', '/lib/modules'] as const
const CLOUD_INIT = '/etc/cloud/cloud.cfg.d'
const CLOUD_INIT_PROGRAM = '/usr/bin/cloud-init'
/** Guest agents of hypervisors and clouds: each runs commands, sets passwords or writes files as the platform says. */
const HOST_AGENTS = [
  '/usr/sbin/qemu-ga',
  '/usr/bin/qemu-ga',
  '/usr/bin/vmtoolsd',
  '/usr/sbin/waagent',
  '/usr/bin/google_guest_agent',
  '/usr/bin/amazon-ssm-agent',
  '/usr/lib/dracut/modules.d/30ignition/ignition',
] as const

/** Of the look for openings; a Debian needs a small part of it. */
const OPENINGS_LIMITS = { totalBytes: 4 * 2 ** 30, reads: 2_000_000 } as const
const NEVER = new AbortController().signal

interface Partition extends ExtFileSystem {
  readonly number: number
  readonly isExt: boolean
  readonly bytes: number
}

/**
 * @param image - raw
 * @param work - an empty directory; the kernel and its modules are put there
 * @throws CloisterError `vm-boot.root-missing`, `vm-boot.file-system-unfit`, `vm-boot.kernel-missing`, `vm-boot.init-missing`, `guest-image.tool-*`
 */
export async function readDiskSystem(
  image: string,
  work: string,
  context: BuildContext,
): Promise<DiskSystem> {
  const all = await readPartitions(image, context)
  const partitions = all.filter(({ isExt }) => isExt)
  const root = await findRoot(partitions, context)
  if (root === undefined) throw await rootError(image, all)
  if (!(await existsInExt(root, INIT, context)))
    throw new CloisterError('vm-boot.init-missing', { where: INIT })
  const kernel = await takeKernel(root, partitions, work, context)
  const fstab = await readExt(root, '/etc/fstab', work, context)
  const hasCloudInit = (await listExt(root, CLOUD_INIT, context)) !== undefined
  // Without that folder it cannot be told to listen to the broker's seed alone.
  const orders = hasCloudInit ? HOST_AGENTS : [...HOST_AGENTS, CLOUD_INIT_PROGRAM]
  const found: string[] = []
  for (const path of orders) if (await existsInExt(root, path, context)) found.push(path)
  const openings = await openingsOf(root, context)
  return {
    openings,
    partition: root.number,
    root: { image, offset: root.offset },
    rootBytes: root.bytes,
    kernel,
    init: INIT,
    otherMounts: otherMounts(fstab?.toString('utf8') ?? ''),
    hasCloudInit,
    hostAgents: found,
  }
}

async function openingsOf(
  { image, offset, bytes }: Partition,
  { signal = NEVER }: BuildContext,
): Promise<ImageOpenings> {
  await using file = await open(image, 'r')
  const { size } = await file.stat()
  const disk = new LimitedSource(new RawSource(file, size), { ...OPENINGS_LIMITS, signal })
  const files = await Ext4Files.open(new SourceRange(disk, offset, bytes))
  if (files === undefined) throw new CloisterError('vm-boot.root-missing', { where: image })
  return await findOpenings(files)
}

/** A root on a file system that nothing here mounts is told as that. */
async function rootError(image: string, partitions: readonly Partition[]): Promise<CloisterError> {
  await using file = await open(image, 'r')
  const { size } = await file.stat()
  const found: string[] = []
  for (const { offset, bytes, isExt } of partitions) {
    if (isExt || offset + bytes > size) continue
    const name = await recognise(new SourceRange(new RawSource(file, size), offset, bytes))
    if (name !== undefined) found.push(name)
  }
  return found.length === 0
    ? new CloisterError('vm-boot.root-missing', { where: image })
    : new CloisterError('vm-boot.file-system-unfit', {
        where: image,
        expected: ROOT_FILE_SYSTEMS.join(', '),
        received: found.join(', '),
      })
}

async function readPartitions(image: string, context: BuildContext): Promise<Partition[]> {
  const text = await run('sfdisk', ['--json', image], { ...context, env: SYSTEM_TOOLS }).catch(
    (cause: unknown) => {
      const isNoTable = cause instanceof CloisterError && cause.code === 'guest-image.tool-failed'
      throw isNoTable ? new CloisterError('vm-boot.root-missing', { where: image, cause }) : cause
    },
  )
  const table = TableSchema.safeParse(JSON.parse(text))
  if (!table.success) throw new CloisterError('vm-boot.root-missing', { where: image })
  const { sectorsize, partitions } = table.data.partitiontable
  await using file = await open(image, 'r')
  const found: Partition[] = []
  for (const { node, start, size } of partitions) {
    const offset = start * sectorsize
    const magic = Buffer.alloc(2)
    const { bytesRead } = await file.read(magic, 0, 2, offset + EXT_MAGIC.offset)
    const isExt = bytesRead === 2 && magic.readUInt16LE() === EXT_MAGIC.value
    const number = Number(/(\d+)$/.exec(node)?.[1])
    found.push({ image, number, offset, bytes: size * sectorsize, isExt })
  }
  return found
}

async function findRoot(
  partitions: readonly Partition[],
  context: BuildContext,
): Promise<Partition | undefined> {
  for (const partition of partitions)
    if (await existsInExt(partition, '/etc/os-release', context)) return partition
  return undefined
}

/** The newest kernel that has its modules in the root; its image stands in /boot or on a partition of its own. */
async function takeKernel(
  root: Partition,
  partitions: readonly Partition[],
  work: string,
  context: BuildContext,
): Promise<DiskKernel> {
  for (const folder of MODULE_FOLDERS)
    for (const release of await releases(root, folder, context))
      for (const [fileSystem, place] of kernelPlaces(root, partitions)) {
        const path = `${place}/vmlinuz-${release}`
        if (!(await existsInExt(fileSystem, path, context))) continue
        const image = join(work, 'vmlinuz')
        const tree = join(work, 'kernel')
        await copyExt(fileSystem, path, image, context)
        await mkdir(join(tree, MODULE_FOLDERS[0]), { recursive: true })
        await copyExtTree(root, `${folder}/${release}`, join(tree, MODULE_FOLDERS[0]), context)
        if (await exists(image)) return { release, image, tree }
      }
  throw new CloisterError('vm-boot.kernel-missing', { where: root.image })
}

function kernelPlaces(root: Partition, partitions: readonly Partition[]) {
  const others = partitions.filter((partition) => partition !== root)
  return [
    [root, '/boot'],
    ...others.map((partition) => [partition, ''] as const),
  ] as readonly (readonly [Partition, string])[]
}

/** Newest first. */
async function releases(
  root: Partition,
  folder: string,
  context: BuildContext,
): Promise<readonly string[]> {
  const entries = (await listExt(root, folder, context)) ?? []
  return entries
    .filter(({ kind, name }) => kind === 'directory' && /^\d[\w.+~-]*$/.test(name))
    .map(({ name }) => name)
    .toSorted((a, b) => -a.localeCompare(b, 'en', { numeric: true }))
}

/** fstab(5): mount points of block devices beside the root. Swap has none; file systems of the network and of the kernel have no device. */
export function otherMounts(fstab: string): string[] {
  return fstab
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([device = '']) => /^(?:UUID=|LABEL=|PARTUUID=|PARTLABEL=|\/dev\/)/.test(device))
    .map(([, mount = '']) => mount)
    .filter((mount) => mount.startsWith('/') && mount !== '/')
}
