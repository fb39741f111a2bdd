/** A VM whose QEMU runs: watches it, stops it, says why it ended, and leaves nothing of it behind. */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CloisterError } from '@cloister/protocol/error'
import { trimControlLog } from './control-log.ts'
import { exitReason } from './exit-reason.ts'
import { isAlive, killProcess, untilGone } from './process-identity.ts'
import { QmpClient, type QmpEvent } from './qmp.ts'
import type { OwnProcess } from './own-process.ts'
import { StageReader } from './stage-reader.ts'
import { removeTraces } from './remove-traces.ts'
import { SOCKETS, STATE_FILES } from './vm-files.ts'
import type {
  MemoryDump,
  ProcessIdentity,
  StageRecord,
  StopOptions,
  Vm,
  VmExit,
  VmSockets,
  VmState,
} from './vm-spec.ts'

/** From the ACPI power button to the kill. */
const STOP_TIMEOUT_MS = 10_000
/** QEMU obeys `quit` at once unless it hangs. */
const QUIT_TIMEOUT_MS = 2_000
/** What a dead guest wrote last is read from the socket in this time. */
const DRAIN_TIMEOUT_MS = 500
/** QEMU that ends takes its swtpm with it, and may be heard later. */
const VTPM_GRACE_MS = 500
/** How often an adopted swtpm is looked for. */
const VTPM_POLL_MS = 2_000
/** QMP statuses out of which a guest never comes. */
const DEAD_STATUSES: ReadonlySet<unknown> = new Set(['internal-error', 'guest-panicked'])
/** The status of a guest whose write found no space; see `SYSTEM_DISK_ERRORS`. */
const NO_SPACE_STATUS = 'io-error'

/** What a VM is made of once QEMU answers. */
export interface VmParts {
  readonly state: VmState
  readonly qmp: QmpClient
  /** Absent after adoption: then QEMU is another's child. */
  readonly process?: OwnProcess
  /** Likewise for its swtpm, whose identity stands in the state. */
  readonly vtpm?: OwnProcess
  /** The simulated processor's side of the VM. Absent: the TEE is none of ours. */
  readonly tee?: AsyncDisposable
}

export class RunningVm implements Vm {
  readonly sockets: VmSockets
  readonly exited: Promise<VmExit>
  readonly #parts: VmParts
  readonly #stageReader: StageReader
  readonly #listeners = new Set<(stage: StageRecord) => void>()
  #qmp: QmpClient
  #shutdownReason: string | undefined
  #deadStatus: string | undefined
  #stop: 'asked' | 'killed' | undefined
  #isReleased = false
  #vtpm: Vm['vtpm']
  readonly #vtpmListeners = new Set<() => void>()
  #isDiskFull = false
  readonly #diskFullListeners = new Set<() => void>()

  constructor(parts: VmParts) {
    this.#parts = parts
    const { runtimeDirectory } = parts.state
    this.sockets = {
      agent: join(runtimeDirectory, SOCKETS.agent),
      net: join(runtimeDirectory, SOCKETS.net),
      console: join(runtimeDirectory, SOCKETS.console),
    }
    this.#stageReader = new StageReader(join(runtimeDirectory, SOCKETS.stage), (stage) => {
      for (const listener of this.#listeners) listener(stage)
    })
    this.#qmp = this.#watch(parts.qmp)
    this.#vtpm = parts.state.vtpm === undefined ? 'none' : 'running'
    void this.#watchVtpm()
    this.exited = this.#untilExited()
  }

  get stages(): readonly StageRecord[] {
    return this.#stageReader.stages
  }

  get state(): VmState {
    const lastStage = this.#stageReader.stages.at(-1)?.name ?? this.#parts.state.lastStage
    return { ...this.#parts.state, ...(lastStage !== undefined && { lastStage }) }
  }

  get vtpm(): Vm['vtpm'] {
    return this.#vtpm
  }

  onVtpmLost(listener: () => void): () => void {
    this.#vtpmListeners.add(listener)
    return () => this.#vtpmListeners.delete(listener)
  }

  get isDiskFull(): boolean {
    return this.#isDiskFull
  }

  onDiskFull(listener: () => void): () => void {
    this.#diskFullListeners.add(listener)
    return () => this.#diskFullListeners.delete(listener)
  }

  async resume(): Promise<void> {
    const qmp = await this.#connected()
    this.#isDiskFull = false
    await qmp.execute('cont')
  }

  async dumpMemory(file: string, signal?: AbortSignal): Promise<MemoryDump> {
    const { id, hasMemoryDump, stateDirectory } = this.#parts.state
    if (hasMemoryDump !== true) throw new CloisterError('vm.dump-unsupported', { where: id })
    const { dumpMemory } = await import('./memory-dump.ts')
    const source = join(stateDirectory, STATE_FILES.memory)
    return dumpMemory(await this.#connected(), source, file, signal)
  }

  onStage(listener: (stage: StageRecord) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async stop({ timeoutMs = STOP_TIMEOUT_MS, force = false }: StopOptions = {}): Promise<VmExit> {
    this.#stop ??= 'asked'
    if (!force) {
      // A guest that stands still hears nothing, and would only make its owner wait.
      if (timeoutMs > 0 && !this.#isDiskFull && (await this.#command('system_powerdown')))
        await this.#endsOrStandsStill(timeoutMs)
      if (!(await this.#ends(0)) && (await this.#command('quit'))) await this.#ends(QUIT_TIMEOUT_MS)
    }
    if (!(await this.#ends(0))) {
      this.#stop = 'killed'
      await killProcess(this.#parts.state.process)
    }
    return this.exited
  }

  async readSerial(): Promise<string> {
    if (this.#parts.state.mode !== 'debug') return ''
    const qmp = await this.#connected()
    const options = { device: 'serial', size: 64 << 10 }
    // A machine with a console has no ring.
    const text = await qmp.execute('ringbuf-read', options).catch((error: unknown) => {
      if (error instanceof CloisterError && error.code === 'qemu.refused') return ''
      throw error
    })
    return typeof text === 'string' ? text : ''
  }

  async release(): Promise<void> {
    this.#isReleased = true
    this.#qmp.close()
    this.#stageReader.close()
    this.#parts.process?.release()
    this.#parts.vtpm?.release()
    await this.#parts.tee?.[Symbol.asyncDispose]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isReleased) await this.stop({ force: true })
  }

  #watch(qmp: QmpClient): QmpClient {
    qmp.on('event', (event) => this.#event(event))
    return qmp
  }

  #event({ name, data }: QmpEvent): void {
    if (name === 'SHUTDOWN' && typeof data['reason'] === 'string')
      this.#shutdownReason = data['reason']
    // Before SHUTDOWN: QEMU stands still in between.
    if (name === 'GUEST_PANICKED') this.#shutdownReason = 'guest-panic'
    // We never pause a guest: it stands still because it cannot go on.
    if (name === 'STOP') void this.#stoodStill()
    // What ends the guest stays for the next hostd, should this one not come to write it down.
    if (this.#shutdownReason === undefined) void trimControlLog(this.#parts.state.runtimeDirectory)
  }

  /** swtpm ends with QEMU; an end before that is a loss. */
  async #watchVtpm(): Promise<void> {
    const { state, vtpm } = this.#parts
    if (state.vtpm === undefined) return
    await (vtpm?.ended ?? this.#untilVtpmGone(state.vtpm))
    await sleep(VTPM_GRACE_MS, undefined, { ref: false })
    if (this.#isReleased || this.#vtpm !== 'running') return
    this.#vtpm = 'lost'
    for (const listener of this.#vtpmListeners) listener()
  }

  /** Of an swtpm that is another's child. */
  async #untilVtpmGone(identity: ProcessIdentity): Promise<void> {
    while (this.#vtpm === 'running' && !this.#isReleased && (await isAlive(identity)))
      await sleep(VTPM_POLL_MS, undefined, { ref: false })
  }

  async #stoodStill(): Promise<void> {
    const status = await this.#qmp.execute('query-status').catch(() => undefined)
    const name = (status as { status?: unknown } | undefined)?.status
    if (name === NO_SPACE_STATUS) return this.#diskFull()
    if (!DEAD_STATUSES.has(name)) return
    if (this.#shutdownReason === undefined) this.#deadStatus = String(name)
    await killProcess(this.#parts.state.process)
  }

  #diskFull(): void {
    if (this.#isDiskFull) return
    this.#isDiskFull = true
    for (const listener of this.#diskFullListeners) listener()
  }

  /** Whether QEMU took the command. It may also end before it answers. */
  async #command(name: string): Promise<boolean> {
    try {
      const qmp = await this.#connected()
      await qmp.execute(name, {}, QUIT_TIMEOUT_MS)
      return true
    } catch (error) {
      if (error instanceof CloisterError) return this.#ends(0)
      throw error
    }
  }

  /** The connection, made anew when it was lost. */
  async #connected(): Promise<QmpClient> {
    if (!this.#qmp.isOpen) {
      const path = join(this.#parts.state.runtimeDirectory, SOCKETS.qmp)
      this.#qmp = this.#watch(await QmpClient.connect(path, QUIT_TIMEOUT_MS))
    }
    return this.#qmp
  }

  async #ends(timeoutMs: number): Promise<boolean> {
    const timer = new AbortController()
    const { signal } = timer
    const timeUp = sleep(timeoutMs, false, { signal }).catch(() => false)
    const hasEnded = await Promise.race([this.exited.then(() => true), timeUp])
    timer.abort()
    return hasEnded
  }

  async #endsOrStandsStill(timeoutMs: number): Promise<void> {
    const standsStill = Promise.withResolvers<void>()
    const forget = this.onDiskFull(standsStill.resolve)
    await Promise.race([this.#ends(timeoutMs), standsStill.promise]).finally(forget)
  }

  async #untilExited(): Promise<VmExit> {
    const end = await this.#untilEnded()
    const at = new Date()
    const hasLostVtpm = this.#vtpm === 'lost'
    this.#vtpm = 'none'
    await this.#drain()
    await this.#parts.tee?.[Symbol.asyncDispose]()
    const leftBehind = await removeTraces(this.#parts.state).catch(String)
    const { failureCode } = this.#stageReader
    const { lastStage } = this.state
    const reason = exitReason({
      ...end,
      shutdownReason: this.#shutdownReason,
      stop: this.#stop,
      isDead: this.#deadStatus !== undefined,
      isMachine: this.#parts.state.hasMemoryDump === true,
    })
    const said = reason === 'qemu-failed' ? (this.#parts.process?.said() ?? '') : ''
    const qemuSaid = this.#deadStatus === undefined ? said : `status ${this.#deadStatus}\n${said}`
    return {
      reason,
      at,
      ...end,
      ...(lastStage !== undefined && { lastStage }),
      ...(failureCode !== undefined && { guestCode: failureCode }),
      ...(qemuSaid !== '' && { qemuSaid }),
      ...(leftBehind !== undefined && { leftBehind }),
      ...(hasLostVtpm && { hasLostVtpm }),
      ...(this.#isDiskFull && { stoodStill: true }),
    }
  }

  /** The end of a process may be heard before what it wrote last. */
  async #drain(): Promise<void> {
    const drained = Promise.all([this.#stageReader.closed, closed(this.#qmp)])
    const timer = new AbortController()
    const timeUp = sleep(DRAIN_TIMEOUT_MS, undefined, { signal: timer.signal }).catch(() => {})
    await Promise.race([drained, timeUp])
    timer.abort()
    this.#stageReader.close()
    this.#qmp.close()
  }

  /** A child's end is told to us; another's is seen in /proc, from the moment the control socket closes. */
  async #untilEnded(): Promise<{ exitCode?: number; signal?: string }> {
    if (this.#parts.process !== undefined) {
      const end = await this.#parts.process.ended
      return this.#isReleased ? new Promise(() => {}) : end
    }
    await closed(this.#qmp)
    if (this.#isReleased) return new Promise(() => {})
    await untilGone(this.#parts.state.process)
    return {}
  }
}

async function closed(qmp: QmpClient): Promise<void> {
  if (qmp.isOpen) await new Promise((resolve) => qmp.once('close', resolve))
}
