/** Replaces a file so that a reader, or a crash, sees the whole of the old or the whole of the new. */
import { mkdir, open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Mode 0600; the folder is made when absent. Errors are those of the file system. */
export async function writeWhole(path: string, text: string): Promise<void> {
  const draft = `${path}.${process.pid}.new`
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  {
    await using handle = await open(draft, 'w', 0o600)
    await handle.writeFile(text)
    await handle.sync()
  }
  await rename(draft, path)
}
