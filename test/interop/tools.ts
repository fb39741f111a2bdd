/**
 * Programs that we did not write, for tests of interoperability. They are looked for in `$CLOISTER_TEST_TOOLS`, in Cloister's cache (where
 * `fetch-tools.ts` puts them) and in PATH; a test that misses one says so and is skipped.
 */
import { spawn, spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'
import { directories } from '@cloister/protocol/directories'

/** Where `fetch-tools.ts` unpacks Debian packages. */
export function toolCache(): string {
  return join(directories().cache, 'test-tools')
}

/** Absent: the program is nowhere. */
export function findTool(name: string): string | undefined {
  const cached = ['usr/bin', 'usr/sbin'].map((folder) => join(toolCache(), 'root', folder))
  const path = (process.env['PATH'] ?? '').split(':')
  const chosen = process.env['CLOISTER_TEST_TOOLS']
  return [...(chosen === undefined ? [] : [chosen]), ...cached, ...path]
    .map((folder) => join(folder, name))
    .find(isExecutable)
}

/** A reason to skip a test, or false when all are there. */
export function missingTools(...names: readonly string[]): string | false {
  const missing = names.filter((name) => findTool(name) === undefined)
  return missing.length > 0 && `not found: ${missing.join(', ')} (node test/interop/fetch-tools.ts)`
}

/** Runs to the end and gives what it printed; throws with its complaint when it fails. Other work goes on meanwhile. */
export async function runTool(
  name: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<string> {
  const child = spawn(findTool(name) ?? name, args, {
    env: { ...process.env, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
  })
  let [output, complaint] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()))
  const status = await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  if (status !== 0) throw new Error(`${name} ${args[0]} ended with ${String(status)}: ${complaint}`)
  return output
}

/** A bcrypt hash as registries ask for; Perl is in every Debian. */
export function bcrypt(password: string): string {
  const script = 'print crypt($ARGV[0], q($2y$05$CCCCCCCCCCCCCCCCCCCCC.))'
  return spawnSync('perl', ['-e', script, password], { encoding: 'utf8' }).stdout
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
