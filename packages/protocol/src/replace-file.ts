/**
 * Replaces a file so that a reader, a crash, kill -9 or a loss of power finds the whole of the old or the whole of the new: written beside it, synced,
 * renamed, and the folder synced. Errors are those of the file system; the draft is gone then.
 */
import {
  closeSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Of two processes that write one file at once, one wins; writers of one process must take turns. @param mode absent: 0600 */
export async function replaceFile(
  path: string,
  content: string | Uint8Array,
  mode = 0o600,
): Promise<void> {
  const draft = draftOf(path)
  try {
    {
      await using file = await open(draft, 'w', mode)
      await file.writeFile(content)
      await file.sync()
    }
    await rename(draft, path)
    await syncFolder(dirname(path))
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
}

/** {@link replaceFile} for those who cannot wait. */
export function replaceFileSync(path: string, content: string | Uint8Array, mode = 0o600): void {
  const draft = draftOf(path)
  try {
    writeFileSync(draft, content, { mode, flush: true })
    renameSync(draft, path)
  } catch (error) {
    rmSync(draft, { force: true })
    throw error
  }
  syncFolderSync(dirname(path))
}

/**
 * Makes a file, mode 0600, that stays as it is, such as a key: whole or not at all. Of two processes that make it at once the first wins, and both get its content.
 *
 * @returns what stands in the file
 */
export function createFileSync(path: string, content: string): string {
  const draft = draftOf(path)
  try {
    writeFileSync(draft, content, { mode: 0o600, flush: true })
    linkSync(draft, path)
    syncFolderSync(dirname(path))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    rmSync(draft, { force: true })
  }
  return readFileSync(path, 'utf8')
}

function syncFolderSync(path: string): void {
  const folder = openSync(path, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}

/** Makes entries that were added to or removed from a folder last. */
export async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, 'r')
  await folder.sync()
}

/** The same for each write of a process: what kill -9 leaves is overwritten by the next. */
function draftOf(path: string): string {
  return `${path}.${process.pid}.new`
}
