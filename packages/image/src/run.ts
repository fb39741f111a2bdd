/** Starts a program, waits for it, and gives every failure a code. */
import { execFile } from 'node:child_process'

import { CloisterError } from '@cloister/protocol/error'

/** What every step of a build may need from its caller. */
export interface BuildContext {
  /** Ends the build; what was half made is removed. */
  readonly signal?: AbortSignal | undefined
  /** Receives each command and its output, one line at a time. */
  readonly debugLog?: ((line: string) => void) | undefined
}

export interface RunOptions extends BuildContext {
  readonly cwd?: string
  /** Replaces the environment. Absent: the caller's. */
  readonly env?: NodeJS.ProcessEnv
}

/** Enough for every listing that the build reads; more is a program gone wrong. */
const MAX_OUTPUT_BYTES = 64 << 20

/**
 * Runs a program without a shell and returns its standard output.
 *
 * @throws CloisterError `guest-image.tool-missing`, `guest-image.no-space`, `guest-image.tool-failed`; the reason of an aborted signal
 */
export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { signal, debugLog, cwd, env } = options
  signal?.throwIfAborted()
  debugLog?.(`+ ${program} ${args.join(' ')}`)
  return new Promise((resolve, reject) => {
    execFile(
      program,
      [...args],
      {
        maxBuffer: MAX_OUTPUT_BYTES,
        ...(cwd && { cwd }),
        ...(env && { env }),
        ...(signal && { signal }),
      },
      (error, stdout, stderr) => {
        for (const line of stderr.split('\n')) if (line !== '') debugLog?.(line)
        if (error === null) resolve(stdout)
        else if (signal?.aborted) reject(signal.reason)
        else reject(failure(program, error, stderr))
      },
    )
  })
}

function failure(program: string, error: Error & { code?: unknown }, stderr: string) {
  const details = { where: program, cause: error }
  if (error.code === 'ENOENT') return new CloisterError('guest-image.tool-missing', details)
  if (/No space left on device/i.test(stderr))
    return new CloisterError('guest-image.no-space', details)
  const why = stderr.trim().split('\n').slice(-3).join(' ').slice(0, 400)
  return new CloisterError('guest-image.tool-failed', { ...details, ...(why !== '' && { why }) })
}
