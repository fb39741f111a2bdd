/** Reads, digests and writes the files of a build. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { access, chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'

import { CloisterError } from '@cloister/protocol/error'

const READ_CHUNK_BYTES = 1 << 20

export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

/** SHA-256 of a file, 64 hex digits; read in pieces. */
export async function sha256File(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path, { highWaterMark: READ_CHUNK_BYTES }), hash)
  return hash.digest('hex')
}

/** What a manifest says of a file that stands beside it. */
export async function describeFile(directory: string, file: string) {
  const path = join(directory, file)
  const [sha256, { size }] = await Promise.all([sha256File(path), stat(path)])
  return { file, sha256, size }
}

/** A file of an unpacked package, or `guest-image.content-missing`. */
export async function readContent(tree: string, path: string): Promise<Buffer> {
  return readFile(join(tree, path)).catch((cause: unknown) => {
    throw new CloisterError('guest-image.content-missing', { where: path, cause })
  })
}

/** Writes a file below `tree` with exactly this mode, whatever the umask is. */
export async function writeInto(
  tree: string,
  path: string,
  content: string | Uint8Array,
  mode = 0o644,
): Promise<void> {
  const target = join(tree, path)
  await mkdir(dirname(target), { recursive: true })
  await writeFile(target, content)
  await chmod(target, mode)
}
