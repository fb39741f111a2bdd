/**
 * Paths inside a root file system that is being written. The kernel would follow a symbolic link in a parent of a path, out of the root
 * file system even; so each parent is looked at with lstat before it is used, and is remembered until something is removed.
 * That is safe because nobody else writes to the staging directory.
 */
import { lstatSync, mkdirSync, rmSync, type Stats } from 'node:fs'
import { CloisterError } from '@cloister/protocol/error'
import { enforceLimit, type UnpackLimits } from './unpack-limits.ts'

/**
 * A path as a tar entry gives it, made relative to the root without `.` and empty parts; `''` is the root itself. Absolute paths and `..`
 * are refused rather than mended: no builder writes them, so they are an attempt.
 */
export function normalizeEntryPath(name: string, limits: UnpackLimits): string {
  if (name === '') throw refused(name, 'an entry without a name')
  enforceLimit('path', Buffer.byteLength(name), limits.pathBytes)
  if (name.startsWith('/')) throw refused(name, 'an absolute path')
  const parts = name.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.includes('..')) throw refused(name, 'a path through ..')
  enforceLimit('path depth', parts.length, limits.depth)
  for (const part of parts) enforceLimit('file name', Buffer.byteLength(part), limits.nameBytes)
  return parts.join('/')
}

/** `''` for an entry of the root. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 0))
}

export function refused(path: string, why: string): CloisterError {
  return new CloisterError('image.entry-refused', { where: `"${path.slice(0, 200)}"`, why })
}

export class RootfsPaths {
  readonly #root: string
  readonly #realDirectories = new Set([''])

  /** @param root absolute path of a real directory */
  constructor(root: string) {
    this.#root = root
  }

  absolute(path: string): string {
    return path === '' ? this.#root : `${this.#root}/${path}`
  }

  /** Makes the directory and those above it that are missing (mode 0755); refuses a link or file on the way. */
  ensureDirectory(path: string): void {
    if (this.#realDirectories.has(path)) return
    this.ensureDirectory(parentOf(path))
    const found = this.#lstat(path)
    if (found === undefined) mkdirSync(this.absolute(path), 0o755)
    else if (!found.isDirectory()) throw refused(path, 'a path through a link or a file')
    this.#realDirectories.add(path)
  }

  /** Whether the directory is there, with no link on the way to it. */
  isRealDirectory(path: string): boolean {
    if (this.#realDirectories.has(path)) return true
    if (!this.isRealDirectory(parentOf(path))) return false
    if (this.#lstat(path)?.isDirectory() !== true) return false
    this.#realDirectories.add(path)
    return true
  }

  /** Absent: there is no such entry, or the way to it is not through real directories. Never follows a link. */
  stat(path: string): Stats | undefined {
    return this.isRealDirectory(parentOf(path)) ? this.#lstat(path) : undefined
  }

  /** Removes the entry and what is below it; a link is removed, not followed. */
  remove(path: string): void {
    if (path === '') throw refused(path, 'the root cannot be removed')
    const found = this.stat(path)
    if (found === undefined) return
    rmSync(this.absolute(path), { recursive: true, force: true })
    if (!found.isDirectory()) return
    this.#realDirectories.clear()
    this.#realDirectories.add('')
  }

  #lstat(path: string): Stats | undefined {
    return lstatSync(this.absolute(path), { throwIfNoEntry: false })
  }
}
