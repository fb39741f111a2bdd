/** Installs Debian packages by apt, after saying which and why. */
import { spawn } from 'node:child_process'
import { CloisterError } from '@cloister/protocol/error'
import type { Requirement } from './requirements.ts'

export interface InstallOptions {
  /** Asks; resolves to whether to go on. */
  readonly confirm: (question: string) => Promise<boolean>
  readonly talk: (line: string) => void
  readonly signal: AbortSignal
}

/**
 * Brings the programs that are missing; does nothing when none is.
 *
 * @throws CloisterError `cli.not-root`, `cli.packages-missing`, `cli.install-failed`
 */
export async function installPackages(
  missing: readonly Requirement[],
  { confirm, talk, signal }: InstallOptions,
): Promise<void> {
  if (missing.length === 0) return
  const packages = [...new Set(missing.map(({ debianPackage }) => debianPackage))]
  const command = `apt-get install --no-install-recommends ${packages.join(' ')}`
  for (const { program, debianPackage, purpose } of missing)
    talk(`  missing ${program} (package ${debianPackage}): ${purpose}`)
  if (process.getuid?.() !== 0)
    throw new CloisterError('cli.not-root', { fix: [`sudo ${command}`] })
  if (!(await confirm(`Install ${packages.join(', ')} with apt?`)))
    throw new CloisterError('cli.packages-missing', {
      received: missing.map(({ program }) => program).join(', '),
      fix: [command],
    })
  const install = ['install', '--yes', '--no-install-recommends', ...packages]
  // The package lists of a fresh machine are missing or old: a second try after an update mends that.
  const first = await aptGet(install, signal)
  if (first.code === 0) return
  const update = await aptGet(['update'], signal)
  const second = await aptGet(install, signal)
  if (second.code !== 0)
    throw new CloisterError('cli.install-failed', {
      received: (second.tail || update.tail).slice(-400),
      fix: ['apt-get update', command],
    })
}

/** Bound on what is kept of apt's talk, characters. */
const TAIL = 2000

async function aptGet(
  words: readonly string[],
  signal: AbortSignal,
): Promise<{ code: number; tail: string }> {
  const child = spawn('apt-get', ['-o', 'DPkg::Lock::Timeout=120', ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
    signal,
  })
  let tail = ''
  const keep = (chunk: Buffer) => {
    tail = `${tail}${chunk.toString('utf8')}`.slice(-TAIL)
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  child.once('error', reject)
  child.once('close', (code) => {
    resolve(code ?? 1)
  })
  try {
    return { code: await promise, tail }
  } catch (cause) {
    signal.throwIfAborted()
    throw new CloisterError('cli.install-failed', { why: 'apt-get could not be started', cause })
  }
}
