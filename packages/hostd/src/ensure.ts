/** Finds the hostd of this user, or starts one that outlives the caller. */
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import { HOSTD_API_VERSION } from '@cloister/protocol/hostd-api'
import { HostdClient, hostdSocket } from './client.ts'
import { PRODUCT_VERSION } from '@cloister/protocol/product-version'
import { watchStart, type StartedChild } from './started-child.ts'

export interface EnsureOptions {
  /** How long a new hostd may take until it answers. Default 15 s: twenty times what it needs on a busy two-core machine. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** Where a hostd started by {@link ensureHostd} writes what it has to say. */
function hostdLog(directories: Pick<Directories, 'hostd'>): string {
  return join(directories.hostd, 'hostd.log')
}

/**
 * A client of a hostd that answers and is of this version; starts one, in a session of its own, when none answers.
 *
 * @throws CloisterError `hostd.version-mismatch` when the one that answers is of another version, `hostd.unreachable`
 * when a new one does not come up, or the code of what it said
 */
export async function ensureHostd(
  directories: Directories,
  options: EnsureOptions = {},
): Promise<HostdClient> {
  const client = new HostdClient(hostdSocket(directories))
  if ((await answeringPid(client)) !== undefined) return client
  const child = startHostd(directories)
  const started = watchStart(child)
  const deadline = Date.now() + (options.timeoutMs ?? 15_000)
  while (Date.now() < deadline) {
    await sleep(25, undefined, { signal: options.signal })
    const pid = await answeringPid(client)
    if (pid !== undefined) {
      // Ours lost the race, and must not take the lock when the other one ends.
      if (pid !== child.pid) child.kill()
      started.release()
      return client
    }
    if (hasFailed(child, started)) break
  }
  const refusal = started.refusal()
  started.release()
  if (refusal !== undefined) throw refusal
  throw new CloisterError('hostd.unreachable', {
    where: hostdLog(directories),
    why:
      child.exitCode === null
        ? 'hostd was started and does not answer'
        : `hostd was started and ended with exit code ${child.exitCode}`,
  })
}

/** A log beyond this is begun anew when hostd starts. */
const LOG_BYTES = 1 << 20

/** A third less memory; hostd makes little garbage, and waits most of the time. */
const MEMORY_OPTIONS = ['--max-semi-space-size=1']

/** Exit 0 or a lost race for the lock leave another hostd that is about to answer. */
function hasFailed({ exitCode }: ChildProcess, started: StartedChild): boolean {
  if (!started.hasEnded || exitCode === 0) return false
  return started.refusal()?.code !== 'hostd.already-running'
}

/** Absent: none answers. @throws CloisterError `hostd.version-mismatch` */
async function answeringPid(client: HostdClient): Promise<number | undefined> {
  try {
    const { version, apiVersion, pid } = await client.info()
    if (version !== PRODUCT_VERSION || apiVersion !== HOSTD_API_VERSION)
      throw new CloisterError('hostd.version-mismatch', {
        expected: PRODUCT_VERSION,
        received: version,
      })
    return pid
  } catch (error) {
    if (error instanceof CloisterError && error.code === 'hostd.unreachable') return undefined
    throw error
  }
}

function startHostd(directories: Directories) {
  mkdirSync(directories.hostd, { recursive: true, mode: 0o700 })
  const log = openSync(hostdLog(directories), 'a', 0o600)
  try {
    if (fstatSync(log).size > LOG_BYTES) ftruncateSync(log)
    const program = fileURLToPath(new URL('main.ts', import.meta.url))
    const child = spawn(process.execPath, [...MEMORY_OPTIONS, program], {
      detached: true,
      stdio: ['ignore', 'pipe', log],
      cwd: '/',
      env: {
        // Starts in a quarter of the time.
        NODE_COMPILE_CACHE: join(directories.cache, 'compile'),
        ...process.env,
        CLOISTER_HOME: directories.home,
        CLOISTER_RUNTIME_DIR: directories.runtime,
      },
    })
    child.unref()
    // A failed spawn (no memory) shows as no answer; without a listener it would end the caller.
    child.on('error', () => undefined)
    return child
  } finally {
    closeSync(log)
  }
}
