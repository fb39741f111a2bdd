/** Reads the few files of an image that decide who its container runs as. Attacker-controlled: the whole tree, links in it included. */
import { constants } from 'node:fs'
import { lstat, open, readlink } from 'node:fs/promises'
import { join, posix } from 'node:path'
import type { UserFiles } from './user.ts'

const MAX_BYTES = 4 << 20
const MAX_LINKS = 16

export async function readUserFiles(rootfs: string): Promise<UserFiles> {
  return {
    passwd: await readInside(rootfs, '/etc/passwd'),
    group: await readInside(rootfs, '/etc/group'),
  }
}

/** Text of a regular file below `rootfs`, links resolved as the container would; empty when it is absent or no such file. */
async function readInside(rootfs: string, path: string): Promise<string> {
  try {
    const place = join(rootfs, await resolveInside(rootfs, path))
    await using file = await open(
      place,
      constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
    )
    const stats = await file.stat()
    return stats.isFile() && stats.size <= MAX_BYTES ? await file.readFile('utf8') : ''
  } catch {
    return ''
  }
}

/** The image does not run yet, so nothing changes under this walk. */
async function resolveInside(rootfs: string, path: string): Promise<string> {
  let rest = path.split('/').filter((name) => name !== '')
  let done = '/'
  for (let links = 0; rest.length > 0;) {
    const [name = '', ...further] = rest
    rest = further
    const next = posix.join(done, name)
    const stats = await lstat(join(rootfs, next))
    if (!stats.isSymbolicLink()) {
      done = next
      continue
    }
    if (++links > MAX_LINKS) throw new Error('too many links')
    // Normalising an absolute path keeps `..` within the root.
    const target = posix.resolve(done, await readlink(join(rootfs, next)))
    rest = [...target.split('/').filter((part) => part !== ''), ...further]
    done = '/'
  }
  return done
}
