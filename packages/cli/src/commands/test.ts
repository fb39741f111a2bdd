import { spawn } from 'node:child_process'
import { mkdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CloisterError } from '@cloister/protocol/error'
import { confirm } from '../confirm.ts'
import type { Command, Invocation } from '../command.ts'
import { installPackages } from '../setup/install-packages.ts'
import {
  BRIDGE_REQUIREMENTS,
  CATALOGUE_REQUIREMENTS,
  E2E_REQUIREMENTS,
  missingRequirements,
  MEASURED_VM_REQUIREMENTS,
  RUN_REQUIREMENTS,
  TEST_REQUIREMENTS,
  VM_REQUIREMENTS,
} from '../setup/requirements.ts'

/** Files of `node --test`, below the root of the repository. */
const SUITES = {
  base: [
    'packages/*/src/**/*.test.ts',
    'packages/*/test/**/*.test.ts',
    'test/integration/**/*.test.ts',
    'test/attack/**/*.test.ts',
    'test/mutations/**/*.test.ts',
  ],
  e2e: ['test/e2e/**/*.test.ts', 'test/interop/**/*.test.ts'],
} as const

export const command: Command = {
  usage: 'test [--yes] [--e2e] [--again] [FILE…]',
  details:
    'Sets up what the tests need (packages, the guest image), then runs the unit, integration and attack tests; with --e2e those with real servers instead.\nFILE… runs just those. Asks before it installs packages; in CI and without a terminal it does not ask.',
  options: {
    yes: { type: 'boolean', short: 'y', help: 'install without asking' },
    e2e: { type: 'boolean', help: 'the end-to-end tests' },
    again: { type: 'boolean', help: 'only the files of what failed in the run before' },
  },
  positionals: [0, 1000],
  async run(invocation) {
    await setUp(invocation)
    const { positionals, options } = invocation
    const suite = options['e2e'] === true ? 'e2e' : 'base'
    const record = join(root(), '.cache', `failed-${suite}`)
    const failed = options['again'] === true ? await failedBefore(record) : []
    const files = [positionals, failed, SUITES[suite]].find(({ length }) => length > 0) ?? []
    await mkdir(dirname(record), { recursive: true })
    // Each end-to-end test wants the machine for itself.
    const pace = suite === 'e2e' ? ['--test-concurrency=1'] : []
    return await node(['--test', ...reporting(record), ...pace, ...files], invocation)
  },
}

/** Whole files, for their tests may go on from each other. None: nothing had failed, or nothing was run. */
async function failedBefore(record: string): Promise<string[]> {
  const text = await readFile(record, 'utf8').catch(() => '')
  return text.split('\n').filter((line) => line !== '')
}

/** Shown as always, and noted for `--again`. */
function reporting(record: string): string[] {
  const reporters = [
    ['spec', 'stdout'],
    [fileURLToPath(new URL('../failed-files.ts', import.meta.url)), record],
  ]
  return reporters.flatMap(([reporter, destination]) => [
    `--test-reporter=${reporter}`,
    `--test-reporter-destination=${destination}`,
  ])
}

async function setUp({ options, output, signal, directories }: Invocation): Promise<void> {
  // Somebody who types this command without a terminal (CI) wants the tests to pass, not a question.
  const yes = options['yes'] === true || !process.stdin.isTTY
  const ofSuite = options['e2e'] === true ? [...CATALOGUE_REQUIREMENTS, ...E2E_REQUIREMENTS] : []
  const required = [
    ...RUN_REQUIREMENTS,
    ...VM_REQUIREMENTS,
    ...MEASURED_VM_REQUIREMENTS,
    ...BRIDGE_REQUIREMENTS,
    ...TEST_REQUIREMENTS,
    ...ofSuite,
  ]
  await installPackages(missingRequirements(required), {
    confirm: async (question) => await confirm(question, yes, signal),
    talk: output.talk,
    signal,
  })
  const { ensureGuestImage } = await import('../setup/ensure-guest-image.ts')
  const { reused, seconds } = await ensureGuestImage({ directories, talk: output.talk, signal })
  output.talk(reused ? 'guest image: reused' : `guest image: built in ${seconds.toFixed(0)} s`)
}

function root(): string {
  return process.env['CLOISTER_ROOT'] ?? join(import.meta.dirname, '../../../..')
}

async function node(words: readonly string[], { signal }: Invocation): Promise<number> {
  const child = spawn(process.execPath, words, {
    cwd: root(),
    stdio: ['ignore', 'inherit', 'inherit'],
    signal,
  })
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  child.once('error', (cause) => {
    reject(
      signal.aborted
        ? signal.reason
        : new CloisterError('internal.bug', { why: 'node could not be started', cause }),
    )
  })
  child.once('close', (code) => {
    resolve(code === 0 ? 0 : 1)
  })
  return await promise
}
