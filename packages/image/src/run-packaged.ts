/** Starts a program of unpacked packages by its own loader with its own libraries, so that the host's versions shape no byte. */
import { join } from 'node:path'

import type { BuildContext } from './run.ts'
import { LIBRARY_DIRECTORIES, LOADER } from './library-closure.ts'
import { run } from './run.ts'

/**
 * @param packages - tree of unpacked packages
 * @param program - path below it
 * @param environment - beside what every packaged program gets
 */
export async function runPackaged(
  packages: string,
  program: string,
  args: readonly string[],
  context: BuildContext,
  environment: Readonly<Record<string, string>> = {},
): Promise<string> {
  const libraries = LIBRARY_DIRECTORIES.map((directory) => join(packages, directory)).join(':')
  const loader = join(packages, LOADER)
  return run(loader, ['--library-path', libraries, join(packages, program), ...args], {
    ...context,
    env: { LC_ALL: 'C', PATH: '/usr/bin:/bin', TMPDIR: packages, ...environment },
  })
}
