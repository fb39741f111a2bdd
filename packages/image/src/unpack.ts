/** Unpacks Debian packages and reads when they were made. */
import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'

import { CloisterError } from '@cloister/protocol/error'

import type { BuildContext } from './run.ts'
import { run } from './run.ts'

/**
 * Unpacks all packages into one tree; needs no root, and the owners of files are not kept.
 *
 * @param files - paths of `.deb` files
 */
export async function unpackPackages(
  files: readonly string[],
  tree: string,
  context: BuildContext,
): Promise<void> {
  await mkdir(tree, { recursive: true })
  for (const file of files) await run('dpkg-deb', ['--extract', file, tree], context)
}

/**
 * The build time of the newest package, seconds since 1970: the time of the image. The first member of a `.deb` (ar(5):
 * 8 bytes of magic, then a header with the time as 12 decimal digits at offset 16) carries the package's own fixed time.
 */
export async function newestPackageTime(
  directory: string,
  files: readonly string[],
): Promise<number> {
  let newest = 0
  for (const file of files) newest = Math.max(newest, await packageTime(join(directory, file)))
  return newest
}

const AR_MAGIC = '!<arch>\n'
const AR_TIME = { start: 24, end: 36 }

async function packageTime(path: string): Promise<number> {
  await using handle = await open(path)
  const { buffer } = await handle.read(Buffer.alloc(AR_TIME.end), 0, AR_TIME.end, 0)
  const time = Number(buffer.toString('latin1', AR_TIME.start, AR_TIME.end).trim())
  if (buffer.toString('latin1', 0, AR_MAGIC.length) !== AR_MAGIC || !Number.isSafeInteger(time))
    throw new CloisterError('guest-image.content-missing', {
      where: path,
      why: 'it is not a Debian package',
    })
  return time
}
