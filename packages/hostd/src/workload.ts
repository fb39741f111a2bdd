/**
 * One workload from its start to its end. How far it has come is on disk at each step, so that a hostd that dies at any point is followed
 * by one that goes on from there.
 */
import { join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import { STAGES, type StageName } from '@cloister/protocol/guest-names'
import type { MoveTarget, WorkloadView } from '@cloister/protocol/hostd-api'
import type { StageRecord } from '@cloister/launcher/vm-spec'
import type { Backend, VmFolders } from './backend.ts'
import { BootWatch } from './boot-watch.ts'
import type { Carrier } from './carriers.ts'
import { deathError } from './guest-death.ts'
import type { Guest } from './guest.ts'
import { KeptRecord } from './kept-record.ts'
import { LogRing } from './log-ring.ts'
import { movedTargets } from './moved-targets.ts'
import type { RecordStore } from './record-store.ts'
import type { WorkloadRecord } from './record.ts'
import { within } from './within.ts'

/** After the container's end its last output is waited for this long. */
const DRAIN_MS = 5_000
/** A guest that fails a request often says more as it powers off. */
const LAST_WORDS_MS = 1_000
/** What a VM's sockets still held when it ended has been read by then. */
const LAST_ANSWER_MS = 300

export interface WorkloadContext {
  readonly backend: Backend
  readonly store: RecordStore
  readonly vmFolders: VmFolders
  /** Called whenever the view has changed. */
  readonly changed: (view: WorkloadView) => void
  /** Says what nobody waits for to hear. */
  readonly log: (message: string) => void
}

type Outcome = Pick<WorkloadView, 'state' | 'exitCode' | 'error'>

export class Workload {
  /** The exact bytes that the guest gets. */
  readonly initdata: Uint8Array
  readonly #context: WorkloadContext
  readonly #record: KeptRecord
  /** Fires when the guest is to be left or ended. */
  readonly #leave = new AbortController()
  #logs: Promise<LogRing> | undefined
  #guest: Promise<Guest> | undefined
  /** What the guest reaches; each stream that it opens looks here. Absent until its VM is being started. */
  #carriers: Map<string, Carrier> | undefined
  #isReleased = false
  #done: Promise<void> = Promise.resolve()

  constructor(context: WorkloadContext, record: WorkloadRecord, initdata: Uint8Array) {
    const { store, changed } = context
    this.#context = context
    this.#record = new KeptRecord({ record, store, changed, failed: (error) => this.#say(error) })
    this.initdata = initdata
  }

  get view(): WorkloadView {
    return this.#record.view
  }

  /** Settles when the workload has ended and nothing of its VM is left. */
  get done(): Promise<void> {
    return this.#done
  }

  /** Begins, or goes on after a restart of hostd. Returns at once. */
  run(): void {
    this.#done = this.#live()
  }

  /** Its output so far, and from now on. */
  logs(): Promise<LogRing> {
    this.#logs ??= LogRing.open(join(this.#context.store.folder(this.view.id), 'logs'))
    return this.#logs
  }

  /** The guest, once its VM runs. @throws CloisterError `workload.not-running` */
  guest(): Promise<Guest> {
    if (this.#guest === undefined || this.#record.isEnded)
      throw new CloisterError('workload.not-running')
    return this.#guest
  }

  /**
   * Leads what went to one address to another; streams that are open stay where they are.
   *
   * @returns whether anything of it led there
   */
  async followMove(move: MoveTarget): Promise<boolean> {
    const { request } = this.#record.value
    const targets = movedTargets(request.targets, move)
    if (targets === undefined || this.#record.isEnded) return false
    await this.#record.changeSurely({}, { request: { ...request, targets } })
    const { carriersFor } = await import('./carriers.ts')
    const carriers = await carriersFor({ [move.name]: { tcp: move.to } })
    for (const [name, carrier] of carriers) this.#carriers?.set(name, carrier)
    return true
  }

  /**
   * Asks the container to end and ends its VM when that takes too long; resolves when it has ended.
   *
   * @param options.force - ends the VM at once
   */
  async stop(options: { readonly force: boolean; readonly timeoutMs: number }): Promise<void> {
    if (this.#record.isEnded) return
    await this.#record.change({ state: 'stopping' })
    if (!options.force && (await this.#terminate())) await within(this.#done, options.timeoutMs)
    this.#leave.abort(new CloisterError('workload.not-running'))
    await this.#done
  }

  /** Lets go of everything and leaves the guest running. */
  async release(): Promise<void> {
    this.#isReleased = true
    // A VM that is just being started is written down before it is let go.
    const guest = await this.#guest?.catch(() => undefined)
    await this.#record.freeze()
    this.#leave.abort(new CloisterError('workload.not-running'))
    guest?.close()
    await guest?.vm.release()
    await (await this.#logs)?.end()
  }

  async #live(): Promise<void> {
    let outcome: Outcome
    try {
      outcome = exited(await this.#untilExit())
    } catch (error) {
      outcome = this.#isStopping
        ? exited(this.view.exitCode)
        : { state: 'failed', error: CloisterError.from(error).toJSON() }
    }
    if (!this.#isReleased) await this.#end(outcome)
  }

  /**
   * Runs the guest until its container has ended.
   *
   * @returns the exit code, when it is known
   * @throws CloisterError whatever else ends it
   */
  async #untilExit(): Promise<number | undefined> {
    const before = await this.#endBefore()
    if (before !== undefined) return before.exitCode
    this.#guest = this.#bootOrAdopt()
    const guest = await this.#guest
    this.#leave.signal.throwIfAborted()
    const watch = new BootWatch(this.#context.backend.deadlines)
    this.#watchStages(guest, watch)
    const container = this.#runContainer(guest, watch)
    const dead = this.#untilDead(guest, container)
    try {
      return await Promise.race([container, dead, watch.late, rejection(this.#leave.signal)])
    } catch (error) {
      throw await this.#lastWords(guest, error)
    } finally {
      watch.stop()
    }
  }

  /** The end that a hostd before this one had begun: it knew the exit code, or was stopping the guest. Absent: none. */
  async #endBefore(): Promise<{ exitCode: number | undefined } | undefined> {
    const { vm, view } = this.#record.value
    if (view.exitCode === undefined && !this.#isStopping) return undefined
    if (vm !== undefined) await this.#context.backend.discardVm(vm)
    return { exitCode: view.exitCode }
  }

  async #bootOrAdopt(): Promise<Guest> {
    // Loaded when the first guest needs them: an idle hostd stays small.
    const { Guest } = await import('./guest.ts')
    const { carriersFor } = await import('./carriers.ts')
    const { adoptVm, startNewVm } = await import('./obtain-vm.ts')
    const { backend, vmFolders } = this.#context
    const record = this.#record.value
    const carriers = await carriersFor(record.request.targets)
    this.#carriers = carriers
    const vm =
      record.vm === undefined
        ? await startNewVm(backend, vmFolders, record, this.initdata)
        : await adoptVm(backend, record.vm)
    try {
      const step = this.#record.has('launched') ? record.step : 'launched'
      // A VM that nobody could find again must not run on.
      const { accelerator, process } = vm.state
      await this.#record.changeSurely({ pid: process.pid, accelerator }, { step, vm: vm.state })
    } catch (error) {
      await vm.stop({ force: true })
      throw error
    }
    return new Guest(vm, carriers)
  }

  #watchStages({ vm }: Guest, watch: BootWatch): void {
    if (!this.#record.has('started')) watch.reached(this.#lastStage)
    const onStage = (stage: StageRecord) => {
      if (this.#addStage(stage)) void this.#record.change({}, { vm: vm.state })
      if (!this.#record.has('started')) watch.reached(stage.name)
    }
    vm.stages.forEach(onStage)
    vm.onStage(onStage)
  }

  /** @returns whether it is a later stage than those known */
  #addStage({ name, uptimeMs, at }: StageRecord): boolean {
    const { stages, createdAt } = this.view
    const number = STAGES[name]
    if (stages.some((stage) => stage.number >= number)) return false
    const hostMs = Math.max(0, at.getTime() - Date.parse(createdAt))
    void this.#record.change({ stages: [...stages, { number, name, guestMs: uptimeMs, hostMs }] })
    return true
  }

  async #runContainer({ link }: Guest, watch: BootWatch): Promise<number> {
    const { startContainer, waitForExit } = await import('./guest-start.ts')
    const { readWorkload } = await import('./start-plan.ts')
    const { signal } = this.#leave
    const { container, step } = this.#record.value
    // Opened while the guest starts it: its output is waited for.
    this.logs().catch(() => undefined)
    await startContainer({
      link,
      workload: readWorkload(this.initdata),
      from: step,
      signal,
      onStep: (step) => void this.#record.change({}, { step }),
    })
    watch.stop()
    // Asked before anybody hears that it runs and asks the guest for evidence: its one processor answers in turn.
    const logs = this.#pumpLogs(link).catch((error: unknown) => this.#say(error))
    const exit = waitForExit(link, container.id, signal)
    exit.catch(() => undefined)
    const startedAt = this.view.startedAt ?? new Date().toISOString()
    await this.#record.change(this.#isStopping ? {} : { state: 'running', startedAt })
    const exitCode = await exit
    await this.#record.change({ exitCode })
    await within(logs, DRAIN_MS)
    return exitCode
  }

  async #pumpLogs(link: Guest['link']): Promise<void> {
    const { pumpLog } = await import('./log-pump.ts')
    const { id: containerId, readStdout, readStderr } = this.#record.value.container
    const ring = await this.logs()
    const common = { link, ring, containerId, signal: this.#leave.signal }
    await Promise.all([
      readStdout ? pumpLog({ ...common, stream: 'stdout' }) : undefined,
      readStderr ? pumpLog({ ...common, stream: 'stderr' }) : undefined,
    ])
  }

  /** Rejects with why the VM ended; gives the exit code instead when it came just before. */
  async #untilDead({ vm }: Guest, container: Promise<number>): Promise<number> {
    const exit = await vm.exited
    if (exit.guestCode === undefined && this.#record.has('started')) {
      const exitCode = await within(
        container.catch(() => undefined),
        LAST_ANSWER_MS,
      )
      if (exitCode !== undefined) return exitCode
    }
    throw deathError(exit, this.#lastStage)
  }

  /** Asks the container to end. @returns whether it was asked */
  async #terminate(): Promise<boolean> {
    const { container } = this.#record.value
    if (!container.signal || !this.#record.has('started')) return false
    try {
      await (await this.#guest)?.terminate(container.id)
      return true
    } catch (error) {
      this.#say(error)
      return false
    }
  }

  /** What the guest says of its failure beyond the error at hand: the request id for the owner's audit log, its own code. */
  async #lastWords(guest: Guest, thrown: unknown): Promise<unknown> {
    if (this.#leave.signal.aborted || !(thrown instanceof CloisterError)) return thrown
    if (guest.exit !== undefined) return thrown
    const status = await guest.status(undefined, LAST_WORDS_MS).catch(() => undefined)
    const requestId = status?.requestId.slice(0, 64) ?? ''
    if (requestId !== '') return new CloisterError(thrown.code, { ...thrown.details, requestId })
    if (!thrown.code.startsWith('guest.')) return thrown
    const exit = await within(guest.vm.exited, LAST_WORDS_MS)
    return exit?.guestCode === undefined ? thrown : deathError(exit, this.#lastStage)
  }

  async #end(outcome: Outcome): Promise<void> {
    this.#leave.abort(new CloisterError('workload.not-running'))
    try {
      const guest = await this.#guest?.catch(() => undefined)
      guest?.close()
      await guest?.vm.stop({ force: true })
      await (await this.logs()).end()
    } catch (error) {
      this.#say(error)
    }
    await this.#record.end({ ...outcome, endedAt: new Date().toISOString() })
  }

  get #isStopping(): boolean {
    return this.view.state === 'stopping'
  }

  get #lastStage(): StageName | 'launch' {
    return (this.view.stages.at(-1)?.name as StageName | undefined) ?? 'launch'
  }

  #say(error: unknown): void {
    this.#context.log(`${this.view.name}: ${CloisterError.from(error).message}`)
  }
}

function exited(exitCode: number | undefined): Outcome {
  return { state: 'exited', ...(exitCode !== undefined && { exitCode }) }
}

function rejection(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>()
  promise.catch(() => undefined)
  signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  return promise
}
