/** `npm run mutations [NAME…]`: takes one check away at a time, and expects the test that holds it to fail, for that reason. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { MUTATION_VARIABLE, REPOSITORY, type Mutation } from './mutation.ts'
import { MUTATIONS } from './mutations.ts'

const TIMEOUT_MS = 60_000
const HOOK = new URL('replace-on-load.ts', import.meta.url).href

const wanted = process.argv.slice(2)
const chosen = MUTATIONS.filter(({ name }) => wanted.length === 0 || wanted.includes(name))
let survivors = 0
for (const mutation of chosen) {
  const problem = problemOf(mutation)
  if (problem !== undefined) survivors++
  console.log(
    `${problem === undefined ? 'caught  ' : 'SURVIVED'}  ${mutation.name}${problem ?? ''}`,
  )
}
console.log(`${chosen.length - survivors} of ${chosen.length} caught`)
process.exitCode = survivors === 0 && chosen.length > 0 ? 0 : 1

/** @returns why the test proves nothing; undefined when it failed as it should */
function problemOf({ name, test, fails, says, inProgram = false }: Mutation): string | undefined {
  const pattern = `^${escaped(fails)}$`
  const { stdout, stderr, signal } = spawnSync(
    process.execPath,
    [
      `--import=${HOOK}`,
      '--test-reporter=tap',
      // A refusal that did not come leaves things open that the test never thought of.
      '--test-force-exit',
      `--test-timeout=${TIMEOUT_MS}`,
      `--test-name-pattern=${pattern}`,
      fileURLToPath(new URL(test, REPOSITORY)),
    ],
    {
      env: {
        ...process.env,
        [MUTATION_VARIABLE]: name,
        ...(inProgram && { NODE_OPTIONS: `--import=${HOOK}` }),
      },
      encoding: 'utf8',
      maxBuffer: 64 << 20,
      timeout: 2 * TIMEOUT_MS,
    },
  )
  const output = `${stdout}${stderr}`
  if (signal !== null) return `: it hung\n${output}`
  // Of a program that never loaded it, nothing fails.
  if (!inProgram && stderr.includes('not loaded: ')) return `: ${stderr.trim()}`
  const line = new RegExp(`^ *not ok \\d+ - ${escaped(tapName(fails))}$`, 'm')
  if (!line.test(output)) return `: the test did not fail\n${output}`
  return output.includes(says) ? undefined : `: its failure does not say "${says}"\n${output}`
}

/** For a regular expression. */
function escaped(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
}

/** As the reporter escapes it. */
function tapName(name: string): string {
  return name.replaceAll('\\', '\\\\').replaceAll('#', '\\#')
}
