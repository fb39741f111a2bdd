/** Runs the few programs of the guest image that the agent needs. */
import { spawn } from 'node:child_process'
import type { Writable } from 'node:stream'
import { buffer } from 'node:stream/consumers'

export interface ProgramResult {
  readonly status: number
  /** What it wrote to both outputs, cut to 4 KiB: for the debug console. */
  readonly said: string
}

export interface RunOptions {
  /** Added to the environment. Never a secret: other processes can read it. */
  readonly settings?: Readonly<Record<string, string>>
  /** What comes through descriptors 3 and up. */
  readonly pipes?: readonly Uint8Array[]
}

/** Starts a program, gives it `input` and waits for its end. Throws only when it cannot be started. */
export type RunProgram = (
  command: readonly [string, ...string[]],
  input?: Uint8Array,
  options?: RunOptions,
) => Promise<ProgramResult>

export const runProgram: RunProgram = async ([command, ...parameters], input, options = {}) => {
  const { settings = {}, pipes = [] } = options
  const child = spawn(command, parameters, {
    env: { ...process.env, ...settings },
    stdio: ['pipe', 'pipe', 'pipe', ...pipes.map(() => 'pipe' as const)],
  })
  const ended = Promise.withResolvers<number>()
  child.once('error', ended.reject)
  child.once('close', (status, signal) => ended.resolve(signal === null ? (status ?? 1) : 128))
  const [stdin, , , ...others] = child.stdio
  for (const [index, bytes] of [input, ...pipes].entries()) {
    const pipe = [stdin, ...others][index] as Writable
    // A program that does not want its input closes it.
    pipe.on('error', () => undefined)
    pipe.end(bytes)
  }
  const [stdout, stderr, status] = await Promise.all([
    buffer(child.stdout),
    buffer(child.stderr),
    ended.promise,
  ])
  return { status, said: `${stdout.toString()}${stderr.toString()}`.slice(0, 4096) }
}
