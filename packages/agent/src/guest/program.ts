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
    // A stream that nobody needs takes 10 ms of an emulated processor.
    stdio: [
      input === undefined ? 'ignore' : 'pipe',
      'pipe',
      'pipe',
      ...pipes.map(() => 'pipe' as const),
    ],
  })
  const ended = Promise.withResolvers<number>()
  child.once('error', ended.reject)
  child.once('close', (status, signal) => ended.resolve(signal === null ? (status ?? 1) : 128))
  const [stdin, stdout, stderr, ...others] = child.stdio
  for (const [index, bytes] of [input, ...pipes].entries()) {
    const pipe = [stdin, ...others][index] as Writable | null
    // A program that does not want its input closes it.
    pipe?.on('error', () => undefined).end(bytes)
  }
  const [said, complained, status] = await Promise.all([
    buffer(stdout!),
    buffer(stderr!),
    ended.promise,
  ])
  return { status, said: `${said.toString()}${complained.toString()}`.slice(0, 4096) }
}
