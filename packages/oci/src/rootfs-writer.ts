/**
 * Applies one layer to a root file system (OCI image-spec "Applying Changesets"): entries replace what is there, whiteouts remove what
 * lower layers left. Calls to the file system are synchronous: a layer is thousands of small files, and a round trip through the thread pool
 * for each call costs several times the call.
 *
 * Refused: devices, fifos, sparse files.
 */
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  futimesSync,
  lchownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  symlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs'
import { CloisterError } from '@cloister/protocol/error'
import type { ErrorCode } from '@cloister/protocol/errors/catalogue'
import { LayerXattrs } from './layer-xattrs.ts'
import { normalizeEntryPath, parentOf, refused, RootfsPaths } from './rootfs-paths.ts'
import { malformedTar } from './tar-header.ts'
import { enforceLimit, type UnpackLimits, type UnpackUsage } from './unpack-limits.ts'
import type { TarEntry, TarSink } from './tar-reader.ts'

export interface RootfsWriterOptions {
  readonly limits: UnpackLimits
  /** Added to. */
  readonly usage: UnpackUsage
  /** Whether there are lower layers; without them whiteouts have nothing to remove. */
  readonly hasLowerLayers: boolean
  /** Whether to give files to the users that the layer names; needs root. */
  readonly preserveOwnership: boolean
  /** Whether extended attributes are collected, see {@link LayerXattrs}. Absent: they are counted only. */
  readonly takeXattrs?: boolean
}

const WHITEOUT = '.wh.'
const OPAQUE = '.wh..wh..opq'
/** Bookkeeping of aufs; means nothing to others. */
const WHITEOUT_META = '.wh..wh.'
const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
const UID_LIMIT = 0xffff_fffe
/** Seconds since 1970 that Node and file systems can hold; a time outside is brought to the edge. */
const TIME_RANGE = [0, 2 ** 33] as const

type Metadata = Pick<TarEntry, 'mode' | 'uid' | 'gid' | 'mtime'>

export class RootfsWriter implements TarSink {
  readonly #paths: RootfsPaths
  readonly #options: RootfsWriterOptions
  /** Paths of this layer and the directories above them; absent for the lowest layer. */
  readonly #own: Set<string> | undefined
  /** Set at the end, for each new entry changes the time of its directory. */
  readonly #directories = new Map<string, Metadata>()
  readonly #xattrs: LayerXattrs
  /** New files are of this user and group and have this mask taken from their mode. */
  readonly #process = {
    uid: process.geteuid?.(),
    gid: process.getegid?.(),
    umask: process.umask(),
  }
  #file: { fd: number; entry: TarEntry } | undefined

  /** @param root absolute path of a directory to which nobody else writes */
  constructor(root: string, options: RootfsWriterOptions) {
    this.#paths = new RootfsPaths(root)
    this.#options = options
    this.#own = options.hasLowerLayers ? new Set() : undefined
    const { limits, preserveOwnership, takeXattrs = false } = options
    this.#xattrs = new LayerXattrs({ isAble: takeXattrs, isRoot: preserveOwnership, limits })
  }

  entry(entry: TarEntry): void {
    this.#count(entry)
    const path = normalizeEntryPath(entry.name, this.#options.limits)
    const name = path.slice(path.lastIndexOf('/') + 1)
    if (name.startsWith(WHITEOUT)) return this.#whiteout(path, name)
    if (entry.type === '3' && entry.deviceMajor === 0 && entry.deviceMinor === 0)
      return this.#removeLower(path)
    if (path === '' && entry.type !== '5') throw refused(entry.name, 'the root must be a directory')
    if (path !== '') this.#paths.ensureDirectory(parentOf(path))
    this.#markOwn(path)
    this.#create(path, entry)
    this.#takeXattrs(path, entry)
  }

  content(bytes: Uint8Array): void {
    const fd = this.#file?.fd
    // The content of a whiteout means nothing.
    if (fd === undefined) return
    let offset = 0
    while (offset < bytes.length) offset += writeSync(fd, bytes, offset)
  }

  endEntry(): void {
    if (this.#file === undefined) return
    const { fd, entry } = this.#file
    // Owner before mode: chown clears the setuid bit.
    if (this.#options.preserveOwnership && !this.#isOwnerSet(entry))
      fchownSync(fd, entry.uid, entry.gid)
    if (entry.mode !== this.#initialMode(entry)) fchmodSync(fd, entry.mode)
    futimesSync(fd, ...times(entry))
    this.#file = undefined
    closeSync(fd)
  }

  /**
   * Sets owners, modes and times of the layer's directories; call once after the last entry.
   *
   * @returns the extended attributes that are still to be set, see {@link LayerXattrs.restorable}
   */
  finish(): Uint8Array {
    for (const [path, metadata] of this.#directories) {
      // A later entry may have put a file or link in its place.
      if (!this.#paths.isRealDirectory(path)) continue
      const absolute = this.#paths.absolute(path)
      if (this.#options.preserveOwnership) chownSync(absolute, metadata.uid, metadata.gid)
      chmodSync(absolute, metadata.mode)
      utimesSync(absolute, ...times(metadata))
    }
    return this.#xattrs.restorable((path) => this.#isFileOrDirectory(path))
  }

  /** Closes what a failure left open. */
  [Symbol.dispose](): void {
    if (this.#file !== undefined) closeSync(this.#file.fd)
    this.#file = undefined
  }

  /** New files are ours already, except below a directory of a lower layer that hands on its group. */
  #isOwnerSet({ uid, gid }: TarEntry): boolean {
    const own = this.#process
    return uid === own.uid && gid === own.gid && !this.#options.hasLowerLayers
  }

  /** The mode to create with: the usual ones need no further call then, and nobody but the owner may open any other before it is set. */
  #initialMode({ mode }: TarEntry): number {
    return this.#process.umask === 0o022 && (mode === 0o644 || mode === 0o755) ? mode : 0o600
  }

  #count(entry: TarEntry): void {
    const { limits, usage } = this.#options
    enforceLimit('entries', ++usage.entries, limits.entries)
    enforceLimit('extended attributes', entry.xattrs.length, limits.xattrs)
    if (entry.uid > UID_LIMIT || entry.gid > UID_LIMIT) throw malformedTar('uid or gid')
  }

  /** Hard links have those of their file; other entries have none of the admitted kinds. */
  #takeXattrs(path: string, { type, xattrs }: TarEntry): void {
    this.#xattrs.forget(path)
    const isTaken = type === '0' || type === '5'
    this.#options.usage.skippedXattrs += isTaken ? this.#xattrs.add(path, xattrs) : xattrs.length
  }

  #isFileOrDirectory(path: string): boolean {
    const found = path === '' ? undefined : this.#paths.stat(path)
    return path === '' || found?.isFile() === true || found?.isDirectory() === true
  }

  #create(path: string, entry: TarEntry): void {
    switch (entry.type) {
      case '0':
        return this.#createFile(path, entry)
      case '1':
        return this.#createHardLink(path, entry)
      case '2':
        return this.#createSymbolicLink(path, entry)
      case '5':
        return this.#createDirectory(path, entry)
      case '3':
      case '4':
        throw refused(path, 'a device node')
      case '6':
        throw refused(path, 'a fifo')
      default:
        throw refused(path, `an entry of unknown type "${entry.type}"`)
    }
  }

  #createFile(path: string, entry: TarEntry): void {
    const mode = this.#initialMode(entry)
    const fd = this.#replacing(path, (absolute) => openSync(absolute, CREATE, mode))
    this.#file = { fd, entry }
  }

  #createSymbolicLink(path: string, entry: TarEntry): void {
    const target = entry.linkName
    enforceLimit('link target', Buffer.byteLength(target), this.#options.limits.linkBytes)
    if (target === '') throw malformedTar('linkname')
    // The target may point anywhere: it is resolved inside the container, and never by us.
    this.#replacing(path, (absolute) => symlinkSync(target, absolute))
    const absolute = this.#paths.absolute(path)
    if (this.#options.preserveOwnership) lchownSync(absolute, entry.uid, entry.gid)
    lutimesSync(absolute, ...times(entry))
  }

  #createHardLink(path: string, entry: TarEntry): void {
    // Some builders write the target from the root; it means the root of the layer.
    const target = normalizeEntryPath(entry.linkName.replace(/^\/+/, ''), this.#options.limits)
    const found = this.#paths.stat(target)
    if (target === path || found === undefined || !(found.isFile() || found.isSymbolicLink()))
      throw refused(path, 'a hard link to what is not a file of the image')
    this.#replacing(path, (absolute) => linkSync(this.#paths.absolute(target), absolute))
  }

  #createDirectory(path: string, entry: TarEntry): void {
    const found = path === '' ? undefined : this.#paths.stat(path)
    if (found !== undefined && !found.isDirectory()) this.#paths.remove(path)
    if (path !== '' && found?.isDirectory() !== true) mkdirSync(this.#paths.absolute(path), 0o700)
    const { mode, uid, gid, mtime } = entry
    this.#directories.set(path, { mode, uid, gid, mtime })
  }

  /** Creates by an exclusive call; when something is in the place it is removed first, never written through. */
  #replacing<T>(path: string, create: (absolute: string) => T): T {
    const absolute = this.#paths.absolute(path)
    try {
      return create(absolute)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      this.#paths.remove(path)
      return create(absolute)
    }
  }

  #whiteout(path: string, name: string): void {
    if (name === OPAQUE) return this.#removeLowerChildren(parentOf(path))
    if (name.startsWith(WHITEOUT_META)) return
    const hidden = name.slice(WHITEOUT.length)
    if (hidden === '' || hidden === '.' || hidden === '..')
      throw refused(path, 'a whiteout of a directory itself')
    const parent = parentOf(path)
    this.#removeLower(parent === '' ? hidden : `${parent}/${hidden}`)
  }

  /** Removes what lower layers left at the path; what this layer put there stays, as the specification asks. */
  #removeLower(path: string): void {
    if (this.#own === undefined) return
    if (!this.#own.has(path)) this.#paths.remove(path)
    else if (this.#paths.isRealDirectory(path)) this.#removeLowerChildren(path)
  }

  #removeLowerChildren(directory: string): void {
    if (this.#own === undefined || !this.#paths.isRealDirectory(directory)) return
    for (const name of readdirSync(this.#paths.absolute(directory)))
      this.#removeLower(directory === '' ? name : `${directory}/${name}`)
  }

  #markOwn(path: string): void {
    let own = path
    while (this.#own !== undefined && own !== '' && !this.#own.has(own)) {
      this.#own.add(own)
      own = parentOf(own)
    }
  }
}

function times({ mtime }: Metadata): [number, number] {
  const bounded = Math.min(Math.max(mtime, TIME_RANGE[0]), TIME_RANGE[1])
  return [bounded, bounded]
}

/** A failure of the file system under the unpacker, as an error with a code where the layer is the cause. */
export function unpackError(thrown: unknown): unknown {
  const { code } = (thrown ?? {}) as NodeJS.ErrnoException
  if (code === undefined || !Object.hasOwn(ERRNO_CODES, code)) return thrown
  return new CloisterError(ERRNO_CODES[code]!, { cause: thrown })
}

const ERRNO_CODES: Readonly<Record<string, ErrorCode>> = {
  ENOSPC: 'image.no-space',
  EDQUOT: 'image.no-space',
  // A bad authentication tag of the scratch space shows as one of these.
  EIO: 'image.scratch-failed',
  EILSEQ: 'image.scratch-failed',
  EROFS: 'image.scratch-failed',
  ENAMETOOLONG: 'image.limit-exceeded',
  EMLINK: 'image.limit-exceeded',
  ENOENT: 'image.layer-malformed',
}
