/**
 * Whether an image is as its manifest says, asked by each run: 190 MB that were read once are not read again while their files are the same to the
 * file system. It tells a damaged image before a guest fails with it; what a guest runs is measured and checked by itself.
 */
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { checkGuestImage, filesOf, type GuestImage } from './images.ts'

const CHECKED_FILE = 'checked.json'

/** @throws CloisterError `guest-image.corrupt` naming the first file that differs */
export async function checkGuestImageOnce(image: GuestImage): Promise<void> {
  // Before the files are read: a change meanwhile makes another state.
  const state = await stateOf(image)
  const path = join(image.directory, CHECKED_FILE)
  if (state !== undefined && (await readFile(path, 'utf8').catch(() => undefined)) === state) return
  await checkGuestImage(image)
  // Where nothing can be written, the files are read each time.
  if (state !== undefined) await writeFile(path, state).catch(() => undefined)
}

/** Which digests, of which files: inode, size, and the times of the last change of content and of anything, of which nobody can set the latter. */
async function stateOf({ directory, manifest }: GuestImage): Promise<string | undefined> {
  try {
    const files = filesOf(manifest).map(async ({ file, sha256 }) => {
      const { ino, size, mtimeNs, ctimeNs } = await stat(join(directory, file), { bigint: true })
      return { file, sha256, inode: [ino, size, mtimeNs, ctimeNs].join(' ') }
    })
    return `${JSON.stringify(await Promise.all(files))}\n`
  } catch {
    return undefined
  }
}
