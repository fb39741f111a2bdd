/** Makes a directory of packages into a repository that apt reads: no network, and exactly the versions of the lock. */
import { stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import type { LockedPackage } from '../inputs.ts'
import type { BuildContext } from '../run.ts'
import { run } from '../run.ts'

/**
 * Writes `Packages` beside the packages, whose digests the lock has vouched for.
 *
 * @returns the line of apt's sources
 */
export async function indexRepository(
  directory: string,
  packages: readonly LockedPackage[],
  context: BuildContext,
): Promise<string> {
  const stanzas: string[] = []
  for (const { file, sha256 } of packages) {
    const path = join(directory, file)
    const fields = (await run('dpkg-deb', ['--field', path], context)).trimEnd()
    const { size } = await stat(path)
    stanzas.push(`${fields}\nFilename: ./${file}\nSize: ${size}\nSHA256: ${sha256}\n`)
  }
  await writeFile(join(directory, 'Packages'), stanzas.join('\n'))
  return `deb [trusted=yes] copy:${directory} ./`
}
