/**
 * Files in a folder that a process of a lower uid may write (QEMU's, swtpm's). Attacker-controlled in so far: where a file should be, it can have put a
 * link to one of ours, a pipe on which we would wait, or a device.
 */
import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'

const ACCESS = { read: constants.O_RDONLY, write: constants.O_WRONLY } as const

/**
 * Follows no link at the path's end and waits for nothing.
 *
 * @throws Error of open(2); RangeError for what is no regular file, or has another name as well
 */
export async function openForeign(path: string, access: keyof typeof ACCESS): Promise<FileHandle> {
  const file = await open(path, ACCESS[access] | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  const stats = await file.stat()
  if (stats.isFile() && stats.nlink === 1) return file
  await file.close()
  throw new RangeError(`${path} is not what was made there`)
}
