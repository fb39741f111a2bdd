/** Finds the libraries that programs of unpacked packages need, and theirs in turn. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { CloisterError } from '@cloister/protocol/error'

import { neededLibraries } from './elf.ts'
import { exists } from './files.ts'

/** Where Debian keeps libraries, below a tree of unpacked packages; the loader searches the first two by itself. */
export const LIBRARY_DIRECTORIES = ['usr/lib/x86_64-linux-gnu', 'usr/lib64', 'usr/lib'] as const

/** Absolute in the header of every program. */
export const LOADER = 'usr/lib64/ld-linux-x86-64.so.2'

/**
 * Library name to its path below `tree`, sorted by name, for these programs and for the named libraries.
 *
 * @param tree - directory with unpacked packages
 * @param programs - paths of ELF files
 * @param opened - names of libraries that are opened at run time
 * @throws CloisterError `guest-image.content-missing`
 */
export async function libraryClosure(
  tree: string,
  programs: readonly string[],
  opened: readonly string[] = [],
): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>()
  const pending = [...opened]
  for (const program of programs) pending.push(...neededLibraries(await readFile(program), program))
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (found.has(name)) continue
    const path = await findLibrary(tree, name)
    found.set(name, path)
    pending.push(...neededLibraries(await readFile(join(tree, path)), name))
  }
  return new Map([...found].toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

async function findLibrary(tree: string, name: string): Promise<string> {
  for (const directory of LIBRARY_DIRECTORIES) {
    const path = `${directory}/${name}`
    if (await exists(join(tree, path))) return path
  }
  throw new CloisterError('guest-image.content-missing', {
    where: name,
    why: `no package of the guest image holds the library ${name}`,
  })
}
