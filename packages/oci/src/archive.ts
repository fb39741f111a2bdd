/**
 * `oci-archive:` files: a tar of an OCI layout. An archive is unpacked into a layout directory before use, with the same care as a layer; what its
 * blobs hold is checked when they are read. Writing gives the same bytes for the same layout.
 */
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, rename, rm, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { CloisterError } from '@cloister/protocol/error'
import { directoryTar } from './directory-tar.ts'
import { openLayout } from './layout.ts'
import { RootfsWriter, unpackError } from './rootfs-writer.ts'
import { TarReader } from './tar-reader.ts'
import { enforceLimit, UNPACK_LIMITS, type UnpackUsage } from './unpack-limits.ts'

const READ_SIZE = 1 << 20

/**
 * The directory of a layout below `cache`, named after the SHA-256 of the archive; one that is there already is used again. Throws
 * `image.not-found`, `image.layer-malformed`, `image.entry-refused`.
 */
export async function unpackOciArchive(file: string, cache: string): Promise<string> {
  const directory = `${resolve(cache)}/${await fileSha256(file)}`
  if (await isDirectory(directory)) return directory
  await mkdir(cache, { recursive: true })
  const staging = `${directory}.partial-${process.pid}`
  await mkdir(staging)
  try {
    await unpack(file, staging)
    await openLayout(staging)
    await rename(staging, directory)
  } catch (error) {
    // Another process may have been faster with the same archive.
    if (!(await isDirectory(directory))) throw unpackError(error)
  } finally {
    await rm(staging, { recursive: true, force: true })
  }
  return directory
}

/** Writes the layout as archive; the file appears when it is whole. */
export async function writeOciArchive(layoutDirectory: string, file: string): Promise<void> {
  await openLayout(layoutDirectory)
  const temporary = `${file}.partial-${process.pid}`
  try {
    await pipeline(
      Readable.from(directoryTar(layoutDirectory, { epoch: 0 })),
      createWriteStream(temporary, { flags: 'wx' }),
    )
    await rename(temporary, file)
  } finally {
    await rm(temporary, { force: true })
  }
}

async function unpack(file: string, directory: string): Promise<void> {
  const usage: UnpackUsage = { bytes: 0, entries: 0, skippedXattrs: 0 }
  using writer = new RootfsWriter(directory, {
    limits: UNPACK_LIMITS,
    usage,
    hasLowerLayers: false,
    preserveOwnership: false,
  })
  const tar = new TarReader(writer)
  for await (const chunk of createReadStream(file, { highWaterMark: READ_SIZE })) {
    usage.bytes += (chunk as Buffer).length
    enforceLimit('archive bytes', usage.bytes, UNPACK_LIMITS.bytes)
    tar.write(chunk as Buffer)
  }
  tar.end()
  writer.finish()
}

async function fileSha256(file: string): Promise<string> {
  const hash = createHash('sha256')
  try {
    await pipeline(createReadStream(file, { highWaterMark: READ_SIZE }), hash)
  } catch (cause) {
    throw new CloisterError('image.not-found', {
      where: `oci-archive:${file}`,
      why: 'the archive cannot be read',
      cause,
    })
  }
  return hash.digest('hex')
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
}
