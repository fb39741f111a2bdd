/** What a file system of a disk image offers to those who look into it. Paths are absolute, with `/`. */
import { open } from 'node:fs/promises'

import { CloisterError } from '@cloister/protocol/error'

export type EntryKind = 'file' | 'directory' | 'symlink' | 'other'

export interface DirectoryEntry {
  readonly name: string
  readonly kind: EntryKind
}

export interface DiskFiles {
  /** What kind of file system it is, such as `ext4`. */
  readonly kind: string
  /** In the order in which they stand on the disk. @throws CloisterError `disk-image.path-not-found`, `disk-image.malformed` */
  list(path: string): Promise<readonly DirectoryEntry[]>
  /** A whole file, following symbolic links within the file system. @param maxBytes - absent: {@link MAX_READ_BYTES} */
  read(path: string, maxBytes?: number): Promise<Buffer>
  /** Writes a file's content to a new file of this machine. @returns its size in bytes */
  extract(path: string, to: string): Promise<number>
  /** Whether there is something at the path. */
  has(path: string): Promise<boolean>
}

export const MAX_READ_BYTES = 64 << 20
export const MAX_EXTRACT_BYTES = 1 << 30
export const MAX_DIRECTORY_ENTRIES = 65_536
const MAX_PATH_PARTS = 64
export const COPY_BYTES = 4 << 20

/** @throws CloisterError `disk-image.path-not-found` */
export function pathParts(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.')
  if (parts.length > MAX_PATH_PARTS) throw notFound(path)
  return parts
}

export function notFound(path: string): CloisterError {
  return new CloisterError('disk-image.path-not-found', { where: path.slice(0, 200) })
}

export function tooLarge(path: string, bytes: number, maxBytes: number): CloisterError {
  return new CloisterError('disk-image.too-much', {
    where: path.slice(0, 200),
    received: `${bytes} bytes`,
    expected: `at most ${maxBytes}`,
  })
}

/** Writes pieces into a file that must not be there yet, readable by its owner alone. */
export async function writeNew(to: string, pieces: AsyncIterable<Uint8Array>): Promise<number> {
  await using file = await open(to, 'wx', 0o600)
  let bytes = 0
  for await (const piece of pieces) {
    await file.writeFile(piece)
    bytes += piece.length
  }
  return bytes
}

/** Answers for {@link DiskFiles.has}: only what is absent counts as such. */
export async function isThere(look: Promise<unknown>): Promise<boolean> {
  try {
    await look
    return true
  } catch (error) {
    if (error instanceof CloisterError && error.code === 'disk-image.path-not-found') return false
    throw error
  }
}
