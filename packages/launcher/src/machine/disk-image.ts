/**
 * Disk images: their headers looked at without trusting them, and what qemu-img does with them, each time with a format that is
 * named, never guessed, and with limits on time and memory. A VM's own disk is looked at again before each use, for its QEMU wrote it.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:fs'
import { open, rm, type FileHandle } from 'node:fs/promises'
import { CloisterError } from '@cloister/protocol/error'
import { hasLabel } from '@cloister/protocol/sealed-disk/label'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { writeError } from '../vm-files.ts'
import {
  parseQcow2Header,
  parseSnapshotTable,
  QCOW2_HEADER_BYTES,
  QCOW2_MAGIC,
  type Qcow2Header,
} from './qcow2.ts'
import { diskName, runQemuImg, type DiskFormat, type QemuImgFile } from './qemu-img.ts'

export interface DiskImage {
  readonly format: DiskFormat
  /** As the guest sees it. */
  readonly virtualBytes: number
}

export interface DiskSnapshot {
  readonly name: string
  readonly at: Date
}

/** What a disk may have at most. */
export const MAX_DISK_BYTES = 64 * 2 ** 40
/** What an image may have at least: a partition table and something behind it. */
const MIN_DISK_BYTES = 1 << 20
const SECTOR_BYTES = 512
const MAX_SNAPSHOTS = 100
/** A hundred snapshots take some KiB. */
const MAX_TABLE_BYTES = 1 << 20

/**
 * Looks at the first bytes of a file.
 * @throws CloisterError `disk.not-found`, `disk.unreadable`, `disk.format-unsupported`, `disk.backing-file`, `disk.encrypted`,
 *   `disk.feature-unsupported`, `disk.malformed`, `disk.too-large`
 */
export async function inspectDisk(path: string): Promise<DiskImage> {
  await using handle = await openDisk(path, constants.O_RDONLY)
  return await inspect(handle, path)
}

/**
 * Copies an image into a new sparse qcow2 file of a VM's own. Snapshots inside the image are left behind.
 *
 * @param target - absolute; made with mode 0600, must not exist; nothing is left of it when this fails
 * @param options - `sizeBytes`: of the new disk, at least that of the image. Absent: that of the image
 * @throws CloisterError as {@link inspectDisk}, `disk.shrink`, `disk.tool-missing`, `disk.tool-failed`, `vm.id-taken`, `host.disk-full`
 */
export async function importDisk(
  source: string,
  target: string,
  options: { readonly sizeBytes?: number; readonly signal?: AbortSignal } = {},
): Promise<DiskImage> {
  await using from = await openDisk(source, constants.O_RDONLY)
  const { format, virtualBytes } = await inspect(from, source)
  const sizeBytes = wantedSize(virtualBytes, options.sizeBytes ?? virtualBytes)
  const to = await open(target, 'wx+', 0o600).catch((error: unknown) => {
    throw writeError(error, target)
  })
  try {
    await using input = await privateCopy(from, `${target}.source`)
    const files = [input, { handle: to, isOwn: true }]
    const convert = (path = '', output = '') => [
      'convert',
      '-O',
      'qcow2',
      diskName(format, path),
      output,
    ]
    await runQemuImg(files, convert, options.signal)
    if (sizeBytes > virtualBytes) await grow(to, sizeBytes, options.signal)
    await to.sync()
    return { format: 'qcow2', virtualBytes: sizeBytes }
  } catch (error) {
    await rm(target, { force: true })
    throw error
  } finally {
    await to.close()
  }
}

/**
 * The image as qemu-img may read it: itself when everybody may, else a copy, for the alternative is a right to read every file of the
 * host in the hands of a program that parses an image of an unknown author.
 */
async function privateCopy(
  image: FileHandle,
  path: string,
): Promise<QemuImgFile & AsyncDisposable> {
  const { mode } = await image.stat()
  if ((mode & 0o004) !== 0 || process.getuid?.() !== 0)
    return { handle: image, isOwn: false, [Symbol.asyncDispose]: () => Promise.resolve() }
  await rm(path, { force: true })
  const handle = await open(path, 'wx+', 0o600).catch((error: unknown) => {
    throw writeError(error, path)
  })
  const end = async () => {
    await handle.close()
    await rm(path, { force: true })
  }
  try {
    await copySparsely(image, path)
    return { handle, isOwn: true, [Symbol.asyncDispose]: end }
  } catch (error) {
    await end()
    throw error
  }
}

/** By cp, which shares blocks where the file system can, and leaves holes. */
async function copySparsely(image: FileHandle, path: string): Promise<void> {
  const words = ['--sparse=always', '--reflink=auto', '/proc/self/fd/3', path]
  const child = spawn('cp', words, { stdio: ['ignore', 'ignore', 'pipe', image.fd] })
  let said = ''
  child.stderr?.on('data', (chunk: Buffer) => (said = `${said}${chunk.toString()}`.slice(-300)))
  const [code] = (await once(child, 'close')) as [number | null]
  if (code === 0) return
  if (said.includes('No space left')) throw new CloisterError('host.disk-full', { where: path })
  throw new CloisterError('disk.tool-failed', { where: 'cp', received: said })
}

/** Grows a disk that no VM uses. @throws CloisterError `disk.shrink`, `disk.too-large`, `disk.in-use`, and as {@link importDisk} */
export async function resizeDisk(path: string, sizeBytes: number): Promise<void> {
  await using handle = await openDisk(path, constants.O_RDWR)
  const { virtualBytes } = await inspectOwn(handle, path)
  if (wantedSize(virtualBytes, sizeBytes) > virtualBytes) await grow(handle, sizeBytes)
}

/** Snapshots inside a qcow2 file, oldest first. @throws CloisterError as {@link inspectDisk} */
export async function listSnapshots(path: string): Promise<DiskSnapshot[]> {
  await using handle = await openDisk(path, constants.O_RDONLY)
  return await readSnapshots(handle, path)
}

/**
 * @param name - a letter of `a-z`, then at most 62 of `a-z 0-9 -`
 * @throws CloisterError `snapshot.name-invalid`, `snapshot.exists`, `snapshot.too-many`, `disk.in-use`, and as {@link importDisk}
 */
export async function createSnapshot(path: string, name: string): Promise<void> {
  // QEMU takes a number for an id, which each snapshot has, too.
  if (!/^[a-z][a-z0-9-]{0,62}$/.test(name))
    throw new CloisterError('snapshot.name-invalid', { received: name })
  await using handle = await openDisk(path, constants.O_RDWR)
  const known = await readSnapshots(handle, path)
  if (known.some((snapshot) => snapshot.name === name))
    throw new CloisterError('snapshot.exists', { where: name })
  if (known.length >= MAX_SNAPSHOTS) throw new CloisterError('snapshot.too-many')
  await changeSnapshot(handle, '-c', name)
}

/** Puts the disk back. @throws CloisterError `snapshot.not-found`, `disk.in-use`, and as {@link importDisk} */
export async function restoreSnapshot(path: string, name: string): Promise<void> {
  await using handle = await openDisk(path, constants.O_RDWR)
  await requireSnapshot(handle, path, name)
  await changeSnapshot(handle, '-a', name)
}

/** @throws CloisterError `snapshot.not-found`, `disk.in-use`, and as {@link importDisk} */
export async function deleteSnapshot(path: string, name: string): Promise<void> {
  await using handle = await openDisk(path, constants.O_RDWR)
  await requireSnapshot(handle, path, name)
  await changeSnapshot(handle, '-d', name)
}

async function requireSnapshot(handle: FileHandle, path: string, name: string): Promise<void> {
  const known = await readSnapshots(handle, path)
  if (!known.some((snapshot) => snapshot.name === name))
    throw new CloisterError('snapshot.not-found', { where: name })
}

async function changeSnapshot(handle: FileHandle, option: string, name: string): Promise<void> {
  const words = (path = '') => ['snapshot', option, name, diskName('qcow2', path)]
  await runQemuImg([{ handle, isOwn: true }], words)
  await handle.sync()
}

async function grow(handle: FileHandle, sizeBytes: number, signal?: AbortSignal): Promise<void> {
  const words = (path = '') => ['resize', diskName('qcow2', path), String(sizeBytes)]
  await runQemuImg([{ handle, isOwn: true }], words, signal)
  await handle.sync()
}

/** @throws CloisterError `disk.shrink`, `disk.too-large` */
function wantedSize(virtualBytes: number, sizeBytes: number): number {
  const expected = `at least ${virtualBytes} bytes`
  if (!(sizeBytes >= virtualBytes)) throw new CloisterError('disk.shrink', { expected })
  if (sizeBytes > MAX_DISK_BYTES) throw new CloisterError('disk.too-large')
  return Math.ceil(sizeBytes / SECTOR_BYTES) * SECTOR_BYTES
}

/** Not blocked by a pipe that somebody put there. */
async function openDisk(path: string, flags: number): Promise<FileHandle> {
  try {
    return await open(path, flags | constants.O_NONBLOCK)
  } catch (error) {
    const isAbsent = (error as NodeJS.ErrnoException).code === 'ENOENT'
    throw new CloisterError(isAbsent ? 'disk.not-found' : 'disk.unreadable', {
      where: path,
      cause: error,
    })
  }
}

async function inspect(handle: FileHandle, where: string): Promise<DiskImage> {
  const found = await handle.stat()
  if (!found.isFile()) throw new CloisterError('disk.unreadable', { where, received: 'no file' })
  const head = await readAt(handle, 0, HEAD_BYTES)
  if (head.length >= 4 && head.readUInt32BE(0) === QCOW2_MAGIC) {
    const { virtualBytes } = soundHeader(head, where)
    return { format: 'qcow2', virtualBytes: sane(Number(virtualBytes), where) }
  }
  const tail = await readAt(handle, Math.max(0, found.size - SECTOR_BYTES), SECTOR_BYTES)
  const other = foreignFormat(head, tail)
  if (other !== undefined)
    throw new CloisterError('disk.format-unsupported', { where, received: other })
  return { format: 'raw', virtualBytes: sane(found.size, where) }
}

/** A VM's own disk is qcow2. */
async function inspectOwn(handle: FileHandle, where: string): Promise<DiskImage> {
  const found = await inspect(handle, where)
  if (found.format === 'qcow2') return found
  throw new CloisterError('disk.format-unsupported', { where, received: 'raw' })
}

function sane(virtualBytes: number, where: string): number {
  if (virtualBytes > MAX_DISK_BYTES) throw new CloisterError('disk.too-large', { where })
  if (virtualBytes >= MIN_DISK_BYTES && virtualBytes % SECTOR_BYTES === 0) return virtualBytes
  throw new CloisterError('disk.malformed', {
    where,
    received: `${virtualBytes} bytes`,
    expected: `a multiple of ${SECTOR_BYTES}, at least ${MIN_DISK_BYTES}`,
  })
}

/** Read with one look at the file. @throws CloisterError */
function soundHeader(head: Uint8Array, where: string): Qcow2Header {
  const header = parsed(() => parseQcow2Header(head.subarray(0, QCOW2_HEADER_BYTES)), where)
  if (header.refersToFile) throw new CloisterError('disk.backing-file', { where })
  if (header.isEncrypted) throw new CloisterError('disk.encrypted', { where })
  if (header.unsupported === undefined) return header
  throw new CloisterError('disk.feature-unsupported', { where, received: header.unsupported })
}

async function readSnapshots(handle: FileHandle, where: string): Promise<DiskSnapshot[]> {
  await inspectOwn(handle, where)
  const header = soundHeader(await readAt(handle, 0, HEAD_BYTES), where)
  const { snapshotCount, snapshotsOffset } = header
  if (snapshotsOffset > BigInt(MAX_DISK_BYTES)) throw new CloisterError('disk.malformed', { where })
  const table = await readAt(handle, Number(snapshotsOffset), MAX_TABLE_BYTES)
  const snapshots = parsed(() => parseSnapshotTable(table, snapshotCount), where)
  return snapshots.map(({ name, at }) => ({ name, at }))
}

function parsed<T>(parse: () => T, where: string): T {
  try {
    return parse()
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    throw new CloisterError('disk.malformed', { where, received: error.message, cause: error })
  }
}

/** Fewer bytes at the end of the file. */
async function readAt(handle: FileHandle, offset: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  const { bytesRead } = await handle.read(bytes, 0, length, offset)
  return bytes.subarray(0, bytesRead)
}

/** As far as the first sectors of a partition table, and the mark of an ISO image. */
const HEAD_BYTES = 40 << 10

/** Formats that are not taken for raw: a name, where its mark stands, and the mark. */
const FOREIGN: readonly (readonly [string, number, string])[] = [
  ['vmdk', 0, 'KDMV'],
  ['vmdk', 0, 'COWD'],
  ['vmdk', 0, '# Disk DescriptorFile'],
  ['vdi', 0x40, '\x7f\x10\xda\xbe'],
  ['vhdx', 0, 'vhdxfile'],
  ['vhd', 0, 'conectix'],
  ['qed', 0, 'QED\0'],
  ['parallels', 0, 'WithoutFreeSpace'],
  ['parallels', 0, 'WithouFreSpacExt'],
  ['bochs', 0, 'Bochs Virtual HD Image'],
  ['cloop', 0, '#!/bin/sh\n#V2.0 Format'],
  ['LUKS', 0, 'LUKS\xba\xbe'],
  ['gzip', 0, '\x1f\x8b'],
  ['xz', 0, '\xfd7zXZ\0'],
  ['zstd', 0, '\x28\xb5\x2f\xfd'],
  ['bzip2', 0, 'BZh'],
  ['zip', 0, 'PK\x03\x04'],
]

/** What it is, if it is no raw disk; that has a partition table or a boot sector. */
function foreignFormat(head: Buffer, tail: Buffer): string | undefined {
  const has = (offset: number, mark: string) =>
    head.toString('latin1', offset, offset + mark.length) === mark
  const found = FOREIGN.find(([, offset, mark]) => has(offset, mark))
  if (found !== undefined) return found[0]
  if (tail.toString('latin1', 0, 8) === 'conectix') return 'vhd'
  // An encrypted disk as its owner prepared it: its label stands where a partition table would.
  if (hasLabel(head)) return undefined
  if (tail.toString('latin1', 0, 4) === 'koly') return 'dmg'
  return has(SECTOR_BYTES - 2, '\x55\xaa') ? undefined : 'no partition table'
}
