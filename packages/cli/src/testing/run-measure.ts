/** Tests only: `cloister measure` in a process of its own, with a home in which there is nothing. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'

const MAIN = join(import.meta.dirname, '../main.ts')

export interface Measured {
  readonly code: number
  readonly out: string
  readonly talk: string
}

export async function runMeasure(home: string, words: readonly string[]): Promise<Measured> {
  const { promise, resolve } = Promise.withResolvers<Measured>()
  const env = { ...process.env, CLOISTER_HOME: home, CLOISTER_RUNTIME_DIR: join(home, 'run') }
  execFile(process.execPath, [MAIN, 'measure', ...words], { env }, (error, out, talk) => {
    resolve({ code: error === null ? 0 : Number(error.code), out, talk })
  })
  return promise
}
