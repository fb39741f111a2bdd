/** The command line as a user starts it, for tests: in a process of its own, with places of its own. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'

const MAIN = join(import.meta.dirname, '../main.ts')

export interface Ended {
  /** Exit code. */
  readonly code: number
  /** Standard output. */
  readonly out: string
  /** Standard error. */
  readonly talk: string
}

export interface RunOptions {
  /** `CLOISTER_HOME`; the runtime directory is in it. */
  readonly home: string
  /** Words for Node before the program. */
  readonly node?: readonly string[]
}

/** Never rejects: a command that fails is an answer, too. */
export async function runCloister(
  words: readonly string[],
  { home, node = [] }: RunOptions,
): Promise<Ended> {
  const { promise, resolve } = Promise.withResolvers<Ended>()
  const env = { ...process.env, CLOISTER_HOME: home, CLOISTER_RUNTIME_DIR: join(home, 'run') }
  const all = [...node, MAIN, ...words]
  execFile(process.execPath, all, { env, maxBuffer: 16 << 20 }, (error, out, talk) => {
    resolve({ code: error === null ? 0 : Number(error.code), out, talk })
  })
  return promise
}
