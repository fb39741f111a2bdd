/**
 * Reads files out of an ext2, ext3 or ext4 file system inside a disk image, by debugfs: no mount, no root, no driver of this machine's kernel.
 * Attacker-controlled: the image. Paths that reach debugfs are ours or plain names.
 */
import { mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'

import { CloisterError } from '@cloister/protocol/error'

import type { BuildContext } from '../run.ts'
import { exists } from '../files.ts'
import { run } from '../run.ts'

/** Where a file system lies in a file. */
export interface ExtFileSystem {
  readonly image: string
  /** Bytes. */
  readonly offset: number
}

export interface ExtEntry {
  readonly name: string
  readonly kind: 'file' | 'directory' | 'link' | 'other'
  readonly bytes: number
}

/** What debugfs takes as one word. */
const PLAIN = /^[\w./+~-]+$/
const KINDS: Readonly<Record<string, ExtEntry['kind']>> = {
  10: 'file',
  '04': 'directory',
  12: 'link',
}

/** The tools of e2fsprogs lie where users who are not root do not look. */
export const SYSTEM_TOOLS = {
  ...process.env,
  LC_ALL: 'C',
  PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`,
}

/** @returns undefined when there is no such directory */
export async function listExt(
  fileSystem: ExtFileSystem,
  path: string,
  context: BuildContext,
): Promise<readonly ExtEntry[] | undefined> {
  const output = await debugfs(fileSystem, `ls -p ${plain(path)}`, context)
  // /inode/mode/uid/gid/name/size/
  const entries = [...output.matchAll(/^\/\d+\/([0-7]{6})\/\d+\/\d+\/([^/]+)\/(\d*)\/$/gm)]
  if (entries.length === 0) return undefined
  return entries.flatMap(([, mode = '', name = '', bytes = '']) =>
    name === '.' || name === '..'
      ? []
      : [{ name, kind: KINDS[mode.slice(0, 2)] ?? 'other', bytes: Number(bytes) }],
  )
}

/** Whether something of that path is there; links on the way are followed. */
export async function existsInExt(
  fileSystem: ExtFileSystem,
  path: string,
  context: BuildContext,
): Promise<boolean> {
  return /^Inode: \d+/m.test(await debugfs(fileSystem, `stat ${plain(path)}`, context))
}

/**
 * @param work - a directory for a copy
 * @returns undefined when there is no such file
 */
export async function readExt(
  fileSystem: ExtFileSystem,
  path: string,
  work: string,
  context: BuildContext,
): Promise<Buffer | undefined> {
  const copy = join(work, 'file')
  await copyExt(fileSystem, path, copy, context)
  if (!(await exists(copy))) return undefined
  const content = await readFile(copy)
  await rm(copy)
  return content
}

/** Writes one file to `to`; without such a file nothing is written. */
export async function copyExt(
  fileSystem: ExtFileSystem,
  path: string,
  to: string,
  context: BuildContext,
): Promise<void> {
  await debugfs(fileSystem, `dump ${plain(path)} ${plain(to)}`, context)
}

/** Writes a directory and all below it into the directory `to`. */
export async function copyExtTree(
  fileSystem: ExtFileSystem,
  path: string,
  to: string,
  context: BuildContext,
): Promise<void> {
  await mkdir(to, { recursive: true })
  await debugfs(fileSystem, `rdump ${plain(path)} ${plain(to)}`, context)
}

async function debugfs(
  { image, offset }: ExtFileSystem,
  request: string,
  context: BuildContext,
): Promise<string> {
  // Without its trailing options debugfs would take a question mark in the name for their beginning.
  if (image.includes('?')) throw new CloisterError('vm-boot.root-missing', { where: image })
  const device = `${image}?offset=${offset}`
  return run('debugfs', ['-R', request, device], { ...context, env: SYSTEM_TOOLS })
}

function plain(path: string): string {
  if (PLAIN.test(path)) return path
  throw new CloisterError('vm-boot.root-missing', { where: path.slice(0, 200) })
}
