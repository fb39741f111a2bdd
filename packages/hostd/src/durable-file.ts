/** Files of hostd that a crash or kill -9 at any moment leaves either as they were or as they should be. */
import { CloisterError } from '@cloister/protocol/error'
import { replaceFile } from '@cloister/protocol/replace-file'

/**
 * Writers of one file must take turns.
 *
 * @throws CloisterError `host.disk-full`
 */
export async function writeDurably(path: string, bytes: string | Uint8Array): Promise<void> {
  try {
    await replaceFile(path, bytes)
  } catch (error) {
    throw spaceError(error, path)
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
