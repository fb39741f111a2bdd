/** Files that a crash or kill -9 at any moment leaves either as they were or as they should be. */
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'

/**
 * Replaces a file in one step: written beside it, synced, renamed, and the folder synced. Writers of one file must take turns.
 *
 * @throws CloisterError `host.disk-full`
 */
export async function writeDurably(path: string, bytes: string | Uint8Array): Promise<void> {
  const temporary = `${path}.new`
  try {
    const file = await open(temporary, 'w', 0o600)
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
    await syncFolder(dirname(path))
  } catch (error) {
    await rm(temporary, { force: true })
    throw spaceError(error, path)
  }
}

/** Makes entries that were added to or removed from a folder last. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

export function isOutOfSpace(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | null)?.code
  return code === 'ENOSPC' || code === 'EDQUOT'
}

/** `host.disk-full` for a failure for lack of space, else the failure itself. */
export function spaceError(error: unknown, path: string): unknown {
  return isOutOfSpace(error)
    ? new CloisterError('host.disk-full', { where: path, cause: error })
    : error
}
