/** A file whose folder may not be there yet. */
import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { replaceFile } from '@cloister/protocol/replace-file'

/** Mode 0600; the folder is made when absent. Errors are those of the file system. */
export async function writeWhole(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  await replaceFile(path, text)
}
