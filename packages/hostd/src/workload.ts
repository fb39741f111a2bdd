/**
 * One workload from its start to its end: the VM, the dialogue with the guest, its output and its streams. What happens is written down before
 * it is acted on, so that a hostd that dies at any point is followed by one that goes on from there.
 */
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { AgentService } from '@cloister/protocol/agent-service_pb'
import { CloisterError } from '@cloister/protocol/error'
import { Guest } from '@cloister/protocol/guest_pb'
import {
  isEnded,
  type EvidenceAnswer,
  type StatusAnswer,
  type WorkloadView,
} from '@cloister/protocol/hostd-api'
import { STAGES } from '@cloister/protocol/guest-names'
import type { StageRecord, Vm, VmExit } from '@cloister/launcher/vm-spec'
import type { Backend, VmFolders } from './backend.ts'
import { BootWatch } from './boot-watch.ts'
import { carriersFor } from './carriers.ts'
import { deathError } from './guest-death.ts'
import { GuestLink } from './guest-link.ts'
import { startContainer, waitForExit } from './guest-start.ts'
import { LogRing } from './log-ring.ts'
import { pumpLog } from './log-pump.ts'
import { NetLink } from './net-link.ts'
import type { RecordStore } from './record-store.ts'
import { isPast, type Step, type WorkloadRecord } from './record.ts'
import { readWorkload } from './start-plan.ts'
import { vmSpec } from './vm-spec-of.ts'

/** GetEvidence under emulation takes a second; the guest may be busy pulling. */
const EVIDENCE_TIMEOUT_MS = 60_000
const STATUS_TIMEOUT_MS = 10_000
const SIGNAL_TIMEOUT_MS = 5_000
/** After the container's end its last output is waited for this long. */
const DRAIN_MS = 5_000
/** A guest that fails a request often says more as it powers off. */
const LAST_WORDS_MS = 1_000
/** What a VM's sockets still held when it ended has been read by then. */
const LAST_ANSWER_MS = 300
const SIGTERM = 15

export interface WorkloadContext {
  readonly backend: Backend
  readonly store: RecordStore
  /** Folders of the VMs' sockets and disks; each VM has one of its id in both. */
  readonly vmFolders: VmFolders
  /** Called whenever the view has changed. */
  changed(workload: Workload): void
  /** Says what nobody waits for to hear. */
  log(message: string): void
}

type Outcome =
  | { readonly state: 'exited'; readonly exitCode: number | undefined }
  | { readonly state: 'failed'; readonly error: CloisterError }

export class Workload {
  readonly initdata: Uint8Array
  readonly #context: WorkloadContext
  readonly #record: WorkloadRecord
  readonly #ending = new AbortController()
  #logs: Promise<LogRing> | undefined
  #vm: Vm | undefined
  #link: GuestLink | undefined
  #net: NetLink | undefined
  #saving: Promise<void> | undefined
  #isUnsaved = false
  #isReleased = false
  #booting: Promise<Vm> | undefined
  #exit: VmExit | undefined
  #done: Promise<void> = Promise.resolve()

  constructor(context: WorkloadContext, record: WorkloadRecord, initdata: Uint8Array) {
    this.#context = context
    this.#record = record
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

  logs(): Promise<LogRing> {
    this.#logs ??= LogRing.open(join(this.#folder, 'logs'))
    return this.#logs
  }

  async stop(options: { readonly force: boolean; readonly timeoutMs: number }): Promise<void> {
    if (isEnded(this.view.state)) return
    await this.#update({ state: 'stopping' })
    if (!options.force && (await this.#terminate())) await within(this.#done, options.timeoutMs)
    if (!isEnded(this.view.state)) this.#ending.abort(new CloisterError('workload.not-running'))
    await this.#done
  }

  /** Lets go of everything and leaves the guest running. */
  async release(): Promise<void> {
    this.#isReleased = true
    this.#closeLinks()
    await this.#booting?.then(
      (vm) => vm.release(),
      () => undefined,
    )
    await (await this.#logs)?.end()
    await this.#saving?.catch(() => undefined)
  }

  async evidence(nonce: Uint8Array, signal: AbortSignal): Promise<EvidenceAnswer> {
    const options = { timeoutMs: EVIDENCE_TIMEOUT_MS, signal }
    const answer = await this.#guest().call(Guest.method.getEvidence, { nonce }, options)
    return {
      tee: answer.tee,
      evidenceJson: Buffer.from(answer.evidenceJson).toString('utf8'),
      agentKey: Buffer.from(answer.agentKey).toString('base64'),
      channelKey: Buffer.from(answer.channelKey).toString('base64'),
      initdata: Buffer.from(answer.initdata).toString('base64'),
    }
  }

  async status(signal: AbortSignal): Promise<StatusAnswer> {
    const options = { timeoutMs: STATUS_TIMEOUT_MS, signal }
    const answer = await this.#guest().call(Guest.method.getStatus, {}, options)
    const { stage, attestations, token, imageDigest, errorCode, requestId } = answer
    return { stage, attestations, token, imageDigest, errorCode, requestId }
  }

  connectChannel(signal: AbortSignal): Promise<Duplex> {
    if (this.#net === undefined) throw new CloisterError('workload.not-running')
    return this.#net.connectChannel(signal)
  }

  async #live(): Promise<void> {
    let outcome: Outcome
    try {
      outcome = { state: 'exited', exitCode: await this.#untilExit() }
    } catch (error) {
      outcome = this.#isStopping
        ? { state: 'exited', exitCode: this.view.exitCode }
        : { state: 'failed', error: CloisterError.from(error) }
    }
    if (this.#isReleased) return
    await this.#finish(outcome)
  }

  /** Runs the guest until its container has ended. @throws CloisterError whatever else ends it */
  async #untilExit(): Promise<number> {
    // A hostd before this one learned the code and died before the VM was gone.
    const { exitCode } = this.view
    this.#booting = this.#bootOrAdopt()
    const vm = await this.#booting
    if (exitCode !== undefined) return exitCode
    this.#ending.signal.throwIfAborted()
    const watch = new BootWatch(this.#context.backend.deadlines)
    this.#watchStages(vm, watch)
    const container = this.#runContainer(vm, watch)
    const asked = rejection(this.#ending.signal)
    try {
      return await Promise.race([container, this.#untilDead(vm, container), watch.late, asked])
    } catch (error) {
      throw await this.#lastWords(vm, error)
    } finally {
      watch.stop()
    }
  }

  async #bootOrAdopt(): Promise<Vm> {
    const { backend, vmFolders } = this.#context
    const known = this.#record.vm
    const vm =
      known === undefined
        ? await backend.startVm(
            vmSpec(
              this.#record,
              this.initdata,
              await backend.loadGuestImage(this.#record.request.guestImage),
              {
                runtimeDirectory: join(vmFolders.runtime, this.view.id),
                stateDirectory: join(vmFolders.state, this.view.id),
              },
            ),
          )
        : await backend.adoptVm(known)
    if (vm === undefined) {
      const why = 'it ended while hostd did not run'
      throw new CloisterError('guest.died', { where: `guest, after stage ${this.#lastStage}`, why })
    }
    this.#vm = vm
    void vm.exited.then((exit) => (this.#exit = exit))
    if (!isPast(this.#record.step, 'launched')) this.#record.step = 'launched'
    this.#record.view = { ...this.view, pid: vm.state.process.pid }
    this.#record.vm = vm.state
    this.#context.changed(this)
    // A VM that nobody could find again must not run on.
    await this.#save()
    return vm
  }

  #watchStages(vm: Vm, watch: BootWatch): void {
    const isBooting = !isPast(this.#record.step, 'started')
    if (isBooting) watch.reached(this.#lastStage)
    const onStage = (stage: StageRecord) => {
      this.#addStage(stage)
      if (!isPast(this.#record.step, 'started')) watch.reached(stage.name)
    }
    vm.stages.forEach(onStage)
    vm.onStage(onStage)
  }

  #addStage({ name, uptimeMs, at }: StageRecord): void {
    const { view } = this.#record
    const number = STAGES[name]
    if (view.stages.some((stage) => stage.number >= number)) return
    const hostMs = Math.max(0, at.getTime() - Date.parse(view.createdAt))
    const stages = [...view.stages, { number, name, guestMs: uptimeMs, hostMs }]
    void this.#update({ stages })
  }

  async #runContainer(vm: Vm, watch: BootWatch): Promise<number> {
    const { signal } = this.#ending
    const { request, container, step } = this.#record
    const workload = readWorkload(this.initdata)
    const link = new GuestLink(vm.sockets.agent)
    this.#link = link
    const targets = await carriersFor(request.targets)
    this.#net = new NetLink({ socketPath: vm.sockets.net, targets })
    const onStep = (reached: Step) => {
      this.#record.step = reached
      void this.#update({})
    }
    await startContainer({ link, workload, from: step, signal, onStep })
    watch.stop()
    if (!this.#isStopping)
      await this.#update({
        state: 'running',
        startedAt: this.view.startedAt ?? new Date().toISOString(),
      })
    const pumps = this.#pumpLogs(link)
    const exitCode = await waitForExit(link, container.id, signal)
    await this.#update({ exitCode })
    await within(pumps, DRAIN_MS)
    return exitCode
  }

  async #pumpLogs(link: GuestLink): Promise<void> {
    const { id: containerId, readStdout, readStderr } = this.#record.container
    const ring = await this.logs()
    const common = { link, ring, containerId, signal: this.#ending.signal }
    await Promise.all([
      readStdout ? pumpLog({ ...common, stream: 'stdout' }) : undefined,
      readStderr ? pumpLog({ ...common, stream: 'stderr' }) : undefined,
    ])
  }

  /** Rejects with why the VM ended; gives the exit code instead when it came just before. */
  async #untilDead(vm: Vm, container: Promise<number>): Promise<number> {
    const exit = await vm.exited
    if (exit.guestCode === undefined && isPast(this.#record.step, 'started')) {
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
    const { step, container } = this.#record
    if (this.#link === undefined || !container.signal || !isPast(step, 'started')) return false
    try {
      await this.#link.call(
        AgentService.method.signalProcess,
        { containerId: container.id, execId: container.id, signal: SIGTERM },
        { timeoutMs: SIGNAL_TIMEOUT_MS },
      )
      return true
    } catch (error) {
      this.#complain(error)
      return false
    }
  }

  /** What the guest says about its failure beyond the error at hand: its own code, the request id for the owner's audit log. */
  async #lastWords(vm: Vm, thrown: unknown): Promise<unknown> {
    if (this.#ending.signal.aborted || !(thrown instanceof CloisterError)) return thrown
    if (this.#exit !== undefined || thrown.details.requestId !== undefined) return thrown
    const signal = AbortSignal.timeout(LAST_WORDS_MS)
    const status = await this.status(signal).catch(() => undefined)
    const requestId = status?.requestId ?? ''
    if (requestId !== '')
      return new CloisterError(thrown.code, {
        ...thrown.details,
        requestId: requestId.slice(0, 64),
      })
    if (!thrown.code.startsWith('guest.')) return thrown
    const exit = await within(vm.exited, LAST_WORDS_MS)
    return exit?.guestCode === undefined ? thrown : deathError(exit, this.#lastStage)
  }

  async #finish(outcome: Outcome): Promise<void> {
    this.#ending.abort(new CloisterError('workload.not-running'))
    this.#closeLinks()
    try {
      await this.#vm?.stop({ force: true })
      await (await this.logs()).end()
    } catch (error) {
      this.#complain(error)
    }
    const { pid: _pid, exitCode: _exitCode, ...rest } = this.view
    const end = { endedAt: new Date().toISOString() }
    this.#record.view =
      outcome.state === 'failed'
        ? { ...rest, ...end, state: 'failed', error: outcome.error.toJSON() }
        : {
            ...rest,
            ...end,
            state: 'exited',
            ...(outcome.exitCode !== undefined && { exitCode: outcome.exitCode }),
          }
    delete this.#record.vm
    await this.#update({})
  }

  #closeLinks(): void {
    this.#link?.close()
    this.#net?.close()
  }

  #guest(): GuestLink {
    if (this.#link === undefined || isEnded(this.view.state))
      throw new CloisterError('workload.not-running')
    return this.#link
  }

  get #isStopping(): boolean {
    return this.view.state === 'stopping'
  }

  get #lastStage(): keyof typeof STAGES | 'launch' {
    return (this.view.stages.at(-1)?.name as keyof typeof STAGES | undefined) ?? 'launch'
  }

  get #folder(): string {
    return this.#context.store.folder(this.view.id)
  }

  /** Changes the view. What cannot be written down now is written with the next change: a full disk ends no workload. */
  async #update(change: Partial<WorkloadView>): Promise<void> {
    if (this.#isReleased) return
    this.#record.view = { ...this.view, ...change }
    if (this.#vm !== undefined && !isEnded(this.view.state)) this.#record.vm = this.#vm.state
    this.#context.changed(this)
    await this.#save().catch((error: unknown) => this.#complain(error))
  }

  /** Writes the record; calls during a write share the next one. */
  async #save(): Promise<void> {
    this.#isUnsaved = true
    while (this.#isUnsaved) {
      this.#saving ??= this.#write().finally(() => (this.#saving = undefined))
      await this.#saving
    }
  }

  async #write(): Promise<void> {
    this.#isUnsaved = false
    await this.#context.store.save(this.#record)
  }

  #complain(error: unknown): void {
    this.#context.log(`${this.view.name}: ${CloisterError.from(error).message}`)
  }
}

function rejection(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>()
  promise.catch(() => undefined)
  signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  return promise
}

/** The value, or undefined when it does not come in time. */
async function within<Value>(value: Promise<Value>, timeoutMs: number): Promise<Value | undefined> {
  const late = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => late.resolve(undefined), timeoutMs)
  try {
    return await Promise.race([value, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
