/** The one container of a guest: its first process, further ones, their outputs and ends. What the host may ask is decided before. */
import type { RunningProcess, Runtime } from './runtime.ts'
import { CloisterError } from '@cloister/protocol/error'
import type { Workload } from '@cloister/protocol/workload'
import type { OciSpec } from './oci-spec.ts'
import { orAborted } from '@cloister/protocol/or-aborted'

export interface ContainerOptions {
  readonly workload: Workload
  readonly runtime: Runtime
  /** Image, secrets and specification; rejects with the code of what failed. */
  readonly prepared: Promise<OciSpec>
  readonly onStarted: () => void
  readonly onExited: () => void
}

/** What a host may ask for in one piece. */
const MAX_READ_BYTES = 1 << 20
const SIGKILL = 9

export class Container {
  readonly #options: ContainerOptions
  readonly #processes = new Map<string, RunningProcess>()
  readonly #ended = new WeakSet<RunningProcess>()

  constructor(options: ContainerOptions) {
    this.#options = options
  }

  get id(): string {
    return this.#options.workload.container.id
  }

  /** Settles when the container could be started. */
  async create(): Promise<void> {
    await this.#options.prepared
  }

  async start(): Promise<void> {
    const { runtime, prepared, onStarted, onExited } = this.#options
    const running = await runtime.start(this.id, await prepared, this.#outputs)
    this.#keep(this.id, running)
    onStarted()
    running.exited.finally(onExited).catch(() => undefined)
  }

  /** Runs a further program under the limits of the container's first. */
  async exec(
    execId: string,
    args: readonly string[],
    options: { readonly env: readonly string[]; readonly cwd: string },
  ): Promise<void> {
    const { runtime, prepared } = this.#options
    const { process } = await prepared
    const running = await runtime.exec(
      this.id,
      execId,
      {
        ...process,
        args,
        env: [...process.env, ...options.env],
        cwd: options.cwd === '' ? process.cwd : options.cwd,
      },
      this.#outputs,
    )
    this.#keep(execId, running)
  }

  /** Exit code. @throws CloisterError `agent.runtime-failed` */
  async wait(execId: string, signal: AbortSignal): Promise<number> {
    return await orAborted(this.#process(execId).exited, signal)
  }

  async signal(execId: string, signal: number): Promise<void> {
    const { runtime } = this.#options
    const process = this.#process(execId)
    if (execId === '' || execId === this.id) await runtime.signal(this.id, signal)
    // A pid of a process that has ended may be another's by now.
    else if (!this.#ended.has(process)) await runtime.signalExec(this.id, execId, signal)
  }

  async read(
    execId: string,
    output: 'stdout' | 'stderr',
    length: number,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const buffer = this.#process(execId)[output]
    return (await buffer?.read(Math.min(length, MAX_READ_BYTES), signal)) ?? new Uint8Array()
  }

  /** Settles when the process's input takes more. */
  async write(execId: string, data: Uint8Array): Promise<number> {
    const { stdin } = this.#process(execId)
    if (stdin === undefined || !stdin.writable) return 0
    const { promise, resolve } = Promise.withResolvers<number>()
    stdin.write(data, (error) => resolve(error ? 0 : data.length))
    return promise
  }

  closeStdin(execId: string): void {
    this.#process(execId).stdin?.end()
  }

  async remove(): Promise<void> {
    const { runtime } = this.#options
    if (this.#processes.size > 0) await runtime.signal(this.id, SIGKILL)
    await runtime.remove(this.id)
  }

  get #outputs(): { stdout: boolean; stderr: boolean; stdin: boolean } {
    const { readStdout, readStderr, writeStdin } = this.#options.workload.hostPolicy
    return { stdout: readStdout, stderr: readStderr, stdin: writeStdin }
  }

  #keep(execId: string, running: RunningProcess): void {
    running.exited.finally(() => this.#ended.add(running)).catch(() => undefined)
    running.stdin?.on('error', () => undefined)
    this.#processes.set(execId, running)
  }

  #process(execId: string): RunningProcess {
    const process = this.#processes.get(execId === '' ? this.id : execId)
    if (process === undefined) throw new CloisterError('agent.container-unknown')
    return process
  }
}
