/** Runs the few programs of the guest image that the agent needs. */
import { spawn } from 'node:child_process'
import { buffer } from 'node:stream/consumers'

export interface ProgramResult {
  readonly status: number
  /** What it wrote to both outputs, cut to 4 KiB: for the debug console. */
  readonly said: string
}

/** Starts a program, gives it `input` and waits for its end. Throws only when it cannot be started. */
export type RunProgram = (
  command: readonly [string, ...string[]],
  input?: Uint8Array,
) => Promise<ProgramResult>

export const runProgram: RunProgram = async ([command, ...parameters], input) => {
  const child = spawn(command, parameters, { stdio: ['pipe', 'pipe', 'pipe'] })
  const ended = Promise.withResolvers<number>()
  child.once('error', ended.reject)
  child.once('close', (status, signal) => ended.resolve(signal === null ? (status ?? 1) : 128))
  // A program that does not want its input closes it.
  child.stdin.on('error', () => undefined)
  child.stdin.end(input)
  const [stdout, stderr, status] = await Promise.all([
    buffer(child.stdout),
    buffer(child.stderr),
    ended.promise,
  ])
  return { status, said: `${stdout.toString()}${stderr.toString()}`.slice(0, 4096) }
}
