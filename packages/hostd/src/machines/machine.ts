/**
 * One machine over its whole life. What it is and how far it has come is on disk before anything follows from it, so that a hostd that dies at any
 * point is followed by one that finds the machine, its QEMU and its state again.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { CloisterError } from '@cloister/protocol/error'
import type { MoveTarget } from '@cloister/protocol/hostd-api'
import {
  isAtRest,
  type BootLog,
  type IntegrityEvent,
  type MemoryDump,
  type ResizeVmRequest,
  type SevLaunch,
  type SevLaunchRequest,
  type Snapshot,
  type Targets,
  type VmView,
} from '@cloister/protocol/hostd-vm-api'
import type { GuestImage } from '@cloister/image/images'
import type { SevSession, Vm, VmExit } from '@cloister/launcher/vm-spec'
import type { Backend, VmFolders } from '../backend.ts'
import type { Guest } from '../guest.ts'
import { LogRing } from '../log-ring.ts'
import { movedTargets } from '../moved-targets.ts'
import { agentBootLog } from './agent-boot-log.ts'
import { readBaseline, writeBaseline } from './baseline-file.ts'
import { endOf, failed, lostEnd, type MachineEnd, type StopAsked } from './machine-end.ts'
import type { MachineConsole } from './machine-console.ts'
import { KeptMachine } from './kept-machine.ts'
import { MachineDisk, type SnapshotChange } from './machine-disk.ts'
import { MachineHistory } from './machine-history.ts'
import { MachineNews, withoutTroubles } from './machine-news.ts'
import { machineFiles, type MachineRecord } from './machine-record.ts'
import { adoptRun, openRun, type MachineRun } from './machine-run.ts'
import type { MachineStore } from './machine-store.ts'
import { OwnerLaunch } from './owner-launch.ts'
import { nextRestart } from './restart-limit.ts'

export interface MachineContext {
  readonly backend: Backend
  readonly store: MachineStore
  readonly vmFolders: VmFolders
  readonly changed: (view: VmView) => void
  readonly log: (message: string) => void
  /** Claims what a run takes of the host. @throws CloisterError `host.*` */
  readonly claimRun: (view: VmView) => Promise<Disposable>
  /** Claims disk beyond what the machine has. @throws CloisterError `host.*` */
  readonly claimDisk: (view: VmView, moreMiB: number) => Promise<Disposable>
}

interface Run extends MachineRun {
  /** Settles when the run's end is written down. */
  readonly ended: Promise<void>
}

export class Machine {
  readonly #context: MachineContext
  readonly #record: MachineRecord
  readonly #kept: KeptMachine
  readonly #files: ReturnType<typeof machineFiles>
  readonly #history: MachineHistory
  readonly #news: MachineNews
  readonly #disk: MachineDisk
  /** What is being done to it that nothing else may meet. */
  #change: Promise<unknown> | undefined
  /** Settles when it is known what a hostd before this one has left. */
  #resuming: Promise<void> = Promise.resolve()
  #run: Run | undefined
  #stop: (StopAsked & { readonly until: number }) | undefined
  /** Measured, and not answered yet. */
  #ownerLaunch: OwnerLaunch | undefined
  #isReleased = false
  /** Fires when a restart that the guest asked for is not to come. */
  #noRestart = new AbortController()

  constructor(context: MachineContext, record: MachineRecord) {
    this.#context = context
    this.#record = record
    this.#kept = new KeptMachine({
      record,
      store: context.store,
      changed: () => context.changed(this.view),
      failed: (error) => this.#log(error),
    })
    this.#files = machineFiles(context.store.folder(record.view.id))
    this.#history = new MachineHistory(this.#files.events, (error) => this.#log(error))
    this.#news = new MachineNews(this.#kept, this.#history)
    this.#disk = new MachineDisk({
      file: this.#files.disk,
      disks: context.backend.machines,
      kept: this.#kept,
      history: this.#history,
      claim: context.claimDisk,
    })
  }

  get view(): VmView {
    return this.#kept.view
  }

  /** Whether a QEMU of it may run. */
  get isAlive(): boolean {
    return this.#record.vm !== undefined
  }

  /** Goes on where a hostd before this one was. Returns at once. */
  resume(): void {
    if (isAtRest(this.view.state)) return void this.#restartLater()
    this.#resuming = this.#goOn().catch(async (error: unknown) => {
      if (!isAtRest(this.view.state)) await this.#end(failed(CloisterError.from(error)))
    })
  }

  /**
   * Starts it; resolves when its QEMU runs. One that runs takes over its targets, and goes on when it stands still for want of space.
   *
   * @param targets - of names that it was defined with; those that are absent lead where they led
   * @throws CloisterError `vm.target-unknown`, `vm.busy`, `host.*`, `guest-image.*`, `qemu.*`, `tee.*`, …
   */
  async start({ targets }: { targets: Targets }): Promise<void> {
    await this.#resuming
    await this.#takeTargets(targets)
    if (this.view.state === 'running' && this.#change === undefined) {
      if (this.view.diskFullAt !== undefined) await this.#running().disk.resume()
      return
    }
    this.#forgetRestart()
    await this.#exclusive(() => this.#start())
  }

  /**
   * Presses the power button and ends it when that takes too long; resolves when it has ended. Stopping one that is at rest does nothing. A
   * second call may force what the first one waits for.
   */
  async stop({ force, timeoutMs }: { force: boolean; timeoutMs: number }): Promise<void> {
    const isRestarting = this.#record.restart?.at !== undefined
    this.#forgetRestart()
    if (isAtRest(this.view.state)) {
      // Kept, or the next hostd would start what its owner stopped.
      if (isRestarting) await this.#kept.setSurely({})
      return
    }
    await this.#resuming
    await this.#ownerLaunch?.refuse()
    // A start that is under way ends with a QEMU to stop, or with none.
    if (this.view.state !== 'stopping') await this.#change?.catch(() => undefined)
    const run = this.#run
    if (run === undefined) return
    const until = Date.now() + timeoutMs
    if (this.view.state !== 'stopping') {
      this.#history.say({ type: 'stopping', ...(force && { why: 'by force' }) })
      this.#stop = { force, isLate: false, until }
      await this.#kept.set({ state: 'stopping' }, { stopUntil: new Date(until).toISOString() })
    } else if (force) this.#stop = { force, isLate: false, until }
    await run.vm.stop({ force, timeoutMs })
    await run.ended
  }

  /**
   * Starts one with a direct boot, in which its owner takes part; resolves when it is measured and stands still.
   *
   * @param owner - fires when its owner has gone away before the measurement got there: nobody would answer it
   * @throws CloisterError `vm.combination-unfit`, `vm.still-running`, and as {@link Machine.start}
   */
  async startWithOwner(request: SevLaunchRequest, owner: AbortSignal): Promise<SevLaunch> {
    if (this.view.boot !== 'direct')
      throw new CloisterError('vm.combination-unfit', {
        received: `a launch secret for a ${this.view.boot} boot`,
        expected: 'a VM that was made with --launch-secret',
      })
    await this.#resuming
    if (!isAtRest(this.view.state)) throw new CloisterError('vm.still-running')
    const launch = new OwnerLaunch(request)
    const started = this.#exclusive(async () => {
      this.#ownerLaunch = launch
      try {
        await this.#start(launch.session)
      } finally {
        this.#ownerLaunch = undefined
      }
    })
    return await launch.measured(started, owner)
  }

  /** The launch that waits for its owner. @throws CloisterError `vm.launch-not-awaited` */
  ownerLaunch(): OwnerLaunch {
    if (this.#ownerLaunch === undefined) throw new CloisterError('vm.launch-not-awaited')
    return this.#ownerLaunch
  }

  async restart(
    options: Parameters<Machine['stop']>[0] & Parameters<Machine['start']>[0],
  ): Promise<void> {
    this.#assertTargets(options.targets)
    await this.stop(options)
    await this.start(options)
  }

  #assertTargets(targets: Targets): void {
    const unknown = Object.keys(targets).find((name) => !Object.hasOwn(this.#record.targets, name))
    if (unknown === undefined) return
    throw new CloisterError('vm.target-unknown', { where: this.view.name, received: unknown })
  }

  /** As a workload's `followMove`. One that is at rest is led there at its next start. */
  async followMove(move: MoveTarget): Promise<boolean> {
    await this.#resuming
    const targets = movedTargets(this.#record.targets, move)
    if (targets === undefined) return false
    await this.#takeTargets(targets)
    return true
  }

  /** Streams that are open stay where they are; the guest opens new ones when those end. */
  async #takeTargets(targets: Targets): Promise<void> {
    this.#assertTargets(targets)
    const before = this.#record.targets
    const after = { ...before, ...targets }
    if (isDeepStrictEqual(after, before)) return
    this.#record.targets = after
    await this.#kept.setSurely({})
    const { carriersFor } = await import('../carriers.ts')
    for (const [name, carrier] of await carriersFor(targets)) this.#run?.carriers.set(name, carrier)
  }

  /** @throws CloisterError `vm.combination-unfit`, `vm.still-running`, `vm.busy`, `disk.*`, `host.*` */
  async resize(request: ResizeVmRequest): Promise<void> {
    await this.#atRest(() => this.#disk.resize(request))
  }

  /** @throws CloisterError `disk.*` */
  async snapshots(): Promise<Snapshot[]> {
    return await this.#disk.snapshots()
  }

  /** @throws CloisterError `vm.still-running`, `vm.busy`, `snapshot.*`, `disk.*` */
  async changeSnapshot(what: SnapshotChange, name: string): Promise<void> {
    await this.#atRest(() => this.#disk.changeSnapshot(what, name))
  }

  /** Deletes it with all its files. @throws CloisterError `vm.still-running`, `vm.busy` */
  async remove(): Promise<void> {
    await this.#atRest(async () => {
      this.#isReleased = true
      this.#forgetRestart()
      await this.#kept.settle().catch(() => undefined)
      await this.#history.end()
      await this.#context.store.remove(this.view.id)
    })
  }

  /** The console's log. Who follows it is let go when the machine ends. */
  async consoleLog(
    options: { readonly follow: boolean },
    signal: AbortSignal,
  ): Promise<AsyncGenerator<string>> {
    const ring = this.#run?.ring ?? (await LogRing.open(this.#files.console))
    return ring.read({ follow: options.follow && this.#run !== undefined, signal })
  }

  /** @throws CloisterError `vm.not-running` */
  console(): MachineConsole {
    return this.#running().console
  }

  /** Lines of its history, oldest first. */
  async events(signal: AbortSignal): Promise<AsyncGenerator<string>> {
    return await this.#history.read(signal)
  }

  noteDefined(): void {
    const { image, diskMiB } = this.view
    this.#history.say({ type: 'defined', detail: { image: image.name, diskMiB } })
  }

  noteIntegrity(event: IntegrityEvent): void {
    this.#history.say(event)
  }

  /** The guest whose agent has answered. @throws CloisterError `vm.not-running`, `vm.no-agent` */
  guest(): Guest {
    const { guest } = this.#running()
    if (!this.view.hasAgent) throw new CloisterError('vm.no-agent')
    return guest
  }

  /** @throws CloisterError `vm.not-running`, `vm.boot-log-unavailable` */
  async bootLog(signal: AbortSignal): Promise<BootLog> {
    const { vm, guest } = this.#running()
    const given = this.view.hasAgent ? await agentBootLog(guest, signal) : undefined
    if (given !== undefined) return { source: 'agent', log: given }
    const log = await this.#context.backend.machines.findBootLog(vm, signal)
    if (log === undefined) throw new CloisterError('vm.boot-log-unavailable')
    return { source: 'memory', log: Buffer.from(log).toString('base64') }
  }

  /** @throws CloisterError `vm.baseline-unknown` */
  async baseline(): Promise<object> {
    return await readBaseline(this.#files.baseline)
  }

  async storeBaseline(baseline: object): Promise<void> {
    await writeBaseline(this.#files.baseline, baseline)
    this.#history.say({ type: 'baseline-stored' })
  }

  /** @param file - absolute; made here. @throws CloisterError `vm.not-running`, `vm.dump-unsupported`, `host.disk-full` */
  async dumpMemory(file: string, signal: AbortSignal): Promise<MemoryDump> {
    const { ranges } = await this.#running().vm.dumpMemory(file, signal)
    this.#history.say({ type: 'memory-dumped', why: 'asked for over the socket of hostd' })
    return {
      file,
      ranges: ranges.map(({ start, ...range }) => ({ start: `0x${start.toString(16)}`, ...range })),
    }
  }

  /** Lets go of everything; a QEMU runs on. */
  async release(): Promise<void> {
    this.#isReleased = true
    this.#noRestart.abort()
    await this.#ownerLaunch?.refuse()
    await Promise.all([this.#resuming, this.#change?.catch(() => undefined)])
    const run = this.#run
    run?.disk.end()
    run?.guest.close()
    await run?.vm.release()
    await run?.console.end()
    await this.#kept.settle().catch(() => undefined)
    await this.#history.end()
  }

  async #start(session?: SevSession): Promise<void> {
    using _claim = await this.#context.claimRun(this.view)
    await this.#disk.readSize()
    const before = this.view
    const { why: _why, error: _error, endedAt: _endedAt, ...rest } = withoutTroubles(before)
    this.#record.view = { ...rest, stages: [], hasAgent: false }
    if (this.#record.restart !== undefined)
      this.#record.restart = { inARow: this.#record.restart.inARow }
    const startedAt = new Date().toISOString()
    const boots = before.boots + 1
    try {
      await this.#kept.setSurely({ state: 'starting', startedAt, boots })
    } catch (error) {
      this.#record.view = before
      this.#context.changed(before)
      throw error
    }
    this.#history.say({ type: 'starting', detail: { boot: boots } })
    await this.#launch(session)
  }

  /** Starts its QEMU; the machine is `failed` when that fails. */
  async #launch(session?: SevSession): Promise<void> {
    const { backend, vmFolders, store } = this.#context
    try {
      const { machineStart } = await import('./machine-spec.ts')
      const folder = store.folder(this.view.id)
      const { spec, image } = await machineStart(backend, vmFolders, this.view, folder)
      const vm = await backend.startVm({ ...spec, ...(session && { sevSession: session }) }, image)
      try {
        const { accelerator, process } = vm.state
        // A QEMU that nobody could find again must not run on.
        await this.#kept.setSurely(
          { state: 'running', accelerator, pid: process.pid, ...bundleOf(image) },
          { vm: vm.state },
        )
      } catch (error) {
        await vm.stop({ force: true })
        throw error
      }
      await this.#attach(vm)
      this.#history.say({ type: 'running', detail: { pid: vm.state.process.pid } })
    } catch (thrown) {
      const error = CloisterError.from(thrown)
      await this.#end(failed(error))
      throw error
    }
  }

  /** Takes up a QEMU that a hostd before this one started, or finds out that it is gone. */
  async #goOn(): Promise<void> {
    const { state } = this.#record.view
    const before = this.#record.vm
    // Killed while its QEMU was being started; what there was of it has been cleared.
    if (before === undefined) {
      if (state !== 'starting') return this.#end(STOPPED)
      // Perhaps it waited for its owner, who is not asked again.
      if (this.view.boot === 'direct')
        return this.#end(failed(new CloisterError('vm.launch-unanswered')))
      return this.#launch()
    }
    const { stopUntil } = this.#record
    const until = stopUntil === undefined ? undefined : Date.parse(stopUntil)
    if (until !== undefined) this.#stop = { force: false, isLate: false, until }
    const heard = await this.#context.backend.howVmEnded(before)
    const vm = await adoptRun(this.#context.backend, before)
    if (vm === undefined) {
      if (state === 'stopping') return this.#end(STOPPED)
      if (heard !== undefined) return this.#exited(heard)
      const isOtherBoot = before.bootId !== (await this.#context.backend.hostBootId())
      return this.#end(lostEnd(isOtherBoot))
    }
    await this.#kept.set({ hasAgent: false, ...(state === 'starting' && { state: 'running' }) })
    // It was let go on; where there is still no space, it is told anew.
    this.#news.resumed()
    await this.#attach(vm)
    this.#history.say({ type: 'found-again', detail: { pid: vm.state.process.pid } })
    if (until !== undefined) void vm.stop({ timeoutMs: Math.max(0, until - Date.now()) })
  }

  async #attach(vm: Vm): Promise<void> {
    const places = {
      console: this.#files.console,
      folder: this.#context.store.folder(this.view.id),
      targets: this.#record.targets,
    }
    const run = await openRun(vm, places, {
      onAgent: () => this.#news.agentAnswered(),
      onDiskFull: () => this.#news.diskFull(),
      onResumed: () => this.#news.resumed(),
      log: (error) => this.#log(error),
    })
    this.#run = { ...run, ended: vm.exited.then((exit) => this.#exited(exit)) }
    vm.stages.forEach((stage) => this.#news.stageReached(stage))
    vm.onStage((stage) => this.#news.stageReached(stage))
    if (vm.vtpm === 'lost') this.#news.vtpmLost()
    else vm.onVtpmLost(() => this.#news.vtpmLost())
  }

  async #exited(exit: VmExit): Promise<void> {
    if (this.#isReleased) return
    const stop = this.#stop
    const isLate = stop !== undefined && !stop.force && exit.at.getTime() >= stop.until
    const isForRestart = exit.reason === 'guest-reset' && this.view.boot !== 'direct'
    if (isForRestart && stop === undefined) return this.#endForRestart(exit)
    delete this.#record.restart
    await this.#end(endOf(exit, stop && { ...stop, isLate }))
  }

  /** The memory of a TEE cannot be measured again in place: a restart that its guest asks for is a new QEMU. */
  async #endForRestart(exit: VmExit): Promise<void> {
    const runMs = exit.at.getTime() - Date.parse(this.view.startedAt ?? exit.at.toISOString())
    const { inARow, pauseMs } = nextRestart(this.#record.restart?.inARow ?? 0, runMs)
    if (pauseMs === undefined) {
      delete this.#record.restart
      return this.#end(failed(new CloisterError('vm.restart-loop', { received: `${inARow}` })))
    }
    this.#record.restart = { inARow, at: new Date(Date.now() + pauseMs).toISOString() }
    await this.#end(endOf(exit, undefined))
    void this.#restartLater()
  }

  /** Starts it again at the time that its record says. */
  async #restartLater(): Promise<void> {
    const { restart } = this.#record
    if (restart?.at === undefined || this.#isReleased) return
    const pauseMs = Math.max(0, Date.parse(restart.at) - Date.now())
    this.#history.say({ type: 'restarting', detail: { inARow: restart.inARow, pauseMs } })
    this.#noRestart = new AbortController()
    const { signal } = this.#noRestart
    await sleep(pauseMs, undefined, { signal, ref: false }).catch(() => undefined)
    if (signal.aborted) return
    await this.#exclusive(() => this.#start()).catch((error: unknown) => {
      // Not again when another hostd comes: its owner saw it fail.
      delete this.#record.restart
      this.#log(error)
    })
  }

  /** A start or stop by its owner takes the place of a restart, and ends a row of them. */
  #forgetRestart(): void {
    this.#noRestart.abort()
    delete this.#record.restart
  }

  /** Writes down that its QEMU is gone, and why. */
  async #end(end: MachineEnd): Promise<void> {
    const run = this.#run
    this.#run = undefined
    this.#stop = undefined
    run?.guest.close()
    run?.disk.end()
    await run?.console.end().catch((error: unknown) => this.#log(error))
    const { diskFullAt: _full, pid: _pid, why: _why, error: _error, ...view } = this.view
    delete this.#record.vm
    delete this.#record.stopUntil
    this.#record.view = { ...view, hasAgent: false }
    await this.#kept.set({ ...end, endedAt: new Date().toISOString() })
    const why = end.state === 'failed' ? end.error.why : end.why
    this.#history.say({ type: end.state, why: why.slice(0, 2000) })
  }

  #running(): Run {
    if (this.#run === undefined) throw new CloisterError('vm.not-running')
    return this.#run
  }

  /** @throws CloisterError `vm.busy` */
  async #exclusive<Value>(work: () => Promise<Value>): Promise<Value> {
    if (this.#change !== undefined || this.#isReleased) throw new CloisterError('vm.busy')
    const change = work()
    this.#change = change
    try {
      return await change
    } finally {
      this.#change = undefined
    }
  }

  async #atRest<Value>(work: () => Promise<Value>): Promise<Value> {
    await this.#resuming
    if (!isAtRest(this.view.state)) throw new CloisterError('vm.still-running')
    return this.#exclusive(work)
  }

  #log(error: unknown): void {
    this.#context.log(`${this.view.name}: ${CloisterError.from(error).message}`)
  }
}

const STOPPED: MachineEnd = { state: 'stopped', why: 'it was stopped' }

/** The bundle that a run boots: its owner may have made it anew. */
function bundleOf(image: GuestImage | undefined): Partial<VmView> {
  if (image === undefined) return {}
  const { name, imageVersion } = image.manifest
  return { guestImage: { name, imageVersion } }
}
