/** Makes a file that exists once and for all: keys that others will pin. */
import { link, mkdir, open, readFile, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { writeError } from './vm-files.ts'

/**
 * Of two processes that make it at once the first wins, and both use that one. Mode 0600, its folder 0700 when it is made.
 * @returns what stands in the file
 * @throws CloisterError `vm.folder-denied`, `host.disk-full`
 */
export async function createOnce(path: string, text: string): Promise<string> {
  const draft = `${path}.${process.pid}`
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await rm(draft, { force: true })
    await writeDurably(draft, text)
    await link(draft, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
    return await readFile(path, 'utf8')
  } catch (error) {
    throw writeError(error, path)
  } finally {
    await rm(draft, { force: true })
  }
}

async function writeDurably(path: string, text: string): Promise<void> {
  await using handle = await open(path, 'wx', 0o600)
  await handle.writeFile(text)
  await handle.sync()
}
