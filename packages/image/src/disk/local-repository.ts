/** Makes a directory of packages into a repository that apt reads: no network, and exactly the versions of the lock. */
import { constants } from 'node:fs'
import { chmod, copyFile, mkdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import type { LockedPackage } from '../inputs.ts'
import type { BuildContext } from '../run.ts'
import { run } from '../run.ts'

/**
 * Copies packages, whose digests the lock has vouched for, and writes `Packages` beside the copies.
 *
 * @param from - directory of the packages
 * @param directory - made here; whoever installs from it must be able to enter what is above
 * @returns the line of apt's sources
 */
export async function makeRepository(
  from: string,
  directory: string,
  packages: readonly LockedPackage[],
  context: BuildContext,
): Promise<string> {
  await mkdir(directory)
  await chmod(directory, 0o755)
  const stanzas: string[] = []
  for (const { file, sha256 } of packages) {
    const path = join(directory, file)
    await copyFile(join(from, file), path, constants.COPYFILE_FICLONE)
    await chmod(path, 0o644)
    const fields = (await run('dpkg-deb', ['--field', path], context)).trimEnd()
    const { size } = await stat(path)
    stanzas.push(`${fields}\nFilename: ./${file}\nSize: ${size}\nSHA256: ${sha256}\n`)
  }
  const index = join(directory, 'Packages')
  await writeFile(index, stanzas.join('\n'))
  await chmod(index, 0o644)
  return `deb [trusted=yes] copy:${directory} ./`
}
