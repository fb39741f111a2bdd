import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import { confirm } from '../confirm.ts'
import type { Command, Invocation } from '../command.ts'
import { installPackages } from '../setup/install-packages.ts'
import { missingRequirements, RUN_REQUIREMENTS, TEST_REQUIREMENTS } from '../setup/requirements.ts'

export const command: Command = {
  usage: 'test [--yes] [--e2e] [FILE…]',
  details:
    'Sets up what the tests need (packages, the guest image), then runs the unit, integration and attack tests; --e2e those with\nreal guests and servers too. FILE… runs just those. Asks before it installs packages; in CI and without a terminal it does not ask.',
  options: {
    yes: { type: 'boolean', short: 'y', help: 'install without asking' },
    e2e: { type: 'boolean', help: 'end-to-end tests as well' },
  },
  positionals: [0, 1000],
  async run(invocation) {
    await setUp(invocation)
    const chosen = invocation.positionals
    const base =
      chosen.length > 0
        ? await node(['--test', ...chosen], invocation)
        : await npm('test', invocation)
    if (base !== 0 || invocation.options['e2e'] !== true) return base
    return await npm('test:e2e', invocation)
  },
}

async function setUp({ options, output, signal, directories }: Invocation): Promise<void> {
  // Somebody who types this command without a terminal (CI) wants the tests to pass, not a question.
  const yes = options['yes'] === true || !process.stdin.isTTY
  await installPackages(missingRequirements([...RUN_REQUIREMENTS, ...TEST_REQUIREMENTS]), {
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

async function npm(script: string, invocation: Invocation): Promise<number> {
  return await spawned('npm', ['run', '--silent', script], invocation)
}

async function node(words: readonly string[], invocation: Invocation): Promise<number> {
  return await spawned(process.execPath, words, invocation)
}

async function spawned(
  program: string,
  words: readonly string[],
  { signal }: Invocation,
): Promise<number> {
  const child = spawn(program, words, {
    cwd: root(),
    stdio: ['ignore', 'inherit', 'inherit'],
    signal,
  })
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  child.once('error', (cause) => {
    reject(
      signal.aborted
        ? signal.reason
        : new CloisterError('internal.bug', { why: `${program} could not be started`, cause }),
    )
  })
  child.once('close', (code) => {
    resolve(code === 0 ? 0 : 1)
  })
  return await promise
}
