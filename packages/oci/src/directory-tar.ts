/** A directory as tar stream, the same bytes for the same content: sorted, one time, one owner unless kept. */
import { createReadStream, type Stats } from 'node:fs'
import { lstat, readdir, readlink } from 'node:fs/promises'
import { CloisterError } from '@cloister/protocol/error'
import { encodeTarHeader, TAR_END, tarPadding, type TarInput } from './tar-writer.ts'

export interface DirectoryTarOptions {
  /** Seconds since 1970 for every entry. */
  readonly epoch: number
  /** Keep users and groups; absent: all belong to root. */
  readonly keepOwners?: boolean
}

/** The directory's content below `./`; throws `image.entry-refused` for sockets, fifos and devices. */
export async function* directoryTar(
  directory: string,
  options: DirectoryTarOptions,
): AsyncGenerator<Uint8Array> {
  yield* walk(directory, '', options, new Map())
  yield TAR_END
}

async function* walk(
  directory: string,
  prefix: string,
  options: DirectoryTarOptions,
  /** First path of each file with several links, by device and inode. */
  linked: Map<string, string>,
): AsyncGenerator<Uint8Array> {
  const names = await readdir(directory)
  // By code units, not by locale.
  for (const name of names.sort()) {
    const path = `${directory}/${name}`
    const stats = await lstat(path)
    const entry = await tarInput(path, `${prefix}${name}`, stats, options, linked)
    yield encodeTarHeader(entry)
    if (entry.type === '0') yield* fileContent(path, entry.size)
    if (entry.type === '5') yield* walk(path, entry.name, options, linked)
  }
}

async function tarInput(
  path: string,
  name: string,
  stats: Stats,
  { epoch, keepOwners = false }: DirectoryTarOptions,
  linked: Map<string, string>,
): Promise<TarInput> {
  const shared = {
    mode: stats.mode & 0o7777,
    uid: keepOwners ? stats.uid : 0,
    gid: keepOwners ? stats.gid : 0,
    size: 0,
    mtime: epoch,
  }
  if (stats.isDirectory()) return { ...shared, type: '5', name: `${name}/` }
  if (stats.isSymbolicLink())
    return { ...shared, mode: 0o777, type: '2', name, linkName: await readlink(path) }
  if (!stats.isFile())
    throw new CloisterError('image.entry-refused', { where: path, why: 'it is not a file' })
  const first = firstLink(linked, name, stats)
  if (first !== undefined) return { ...shared, type: '1', name, linkName: first }
  return { ...shared, type: '0', name, size: stats.size }
}

/** Absent: the file has no other name, or this is the first of them. */
function firstLink(linked: Map<string, string>, name: string, stats: Stats): string | undefined {
  if (stats.nlink < 2) return undefined
  const id = `${stats.dev}:${stats.ino}`
  const first = linked.get(id)
  if (first === undefined) linked.set(id, name)
  return first
}

async function* fileContent(path: string, size: number): AsyncGenerator<Uint8Array> {
  let written = 0
  if (size > 0)
    for await (const chunk of createReadStream(path, { end: size - 1, highWaterMark: 1 << 18 })) {
      written += (chunk as Buffer).length
      yield chunk as Buffer
    }
  if (written !== size)
    throw new CloisterError('image.entry-refused', {
      where: path,
      why: 'it became shorter while it was read',
    })
  yield tarPadding(size)
}
