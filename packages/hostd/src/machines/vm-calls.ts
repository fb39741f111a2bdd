/** hostd's REST calls for machines, with types. */
import type { Duplex } from 'node:stream'
import {
  EvidenceAnswerSchema,
  LogEntrySchema,
  StatusAnswerSchema,
  type EvidenceAnswer,
  type LogEntry,
  type StatusAnswer,
} from '@cloister/protocol/hostd-api'
import {
  BaselineSchema,
  BootLogSchema,
  MemoryDumpSchema,
  SevLaunchSchema,
  SnapshotListSchema,
  VmEventSchema,
  VmListSchema,
  VmViewSchema,
  type BootLog,
  type DefineVmRequestInput,
  type IntegrityEvent,
  type MemoryDump,
  type ResizeVmRequest,
  type SevLaunch,
  type SevLaunchRequest,
  type SevSecret,
  type Snapshot,
  type RestartVmRequestInput,
  type StartVmRequestInput,
  type StopVmRequestInput,
  type VmEvent,
  type VmView,
} from '@cloister/protocol/hostd-vm-api'
import type { CallOptions, HostdCalls } from '../hostd-calls.ts'

export class VmCalls {
  readonly #calls: HostdCalls

  constructor(calls: HostdCalls) {
    this.#calls = calls
  }

  /** Makes one from a copy of a disk image; resolves when it is made, which takes as long as the copy. It is not started. */
  define(body: DefineVmRequestInput, options: CallOptions = {}): Promise<VmView> {
    return this.#calls.json({ method: 'POST', path: '/v1/vms', body, ...options }, VmViewSchema)
  }

  async list(options: CallOptions = {}): Promise<VmView[]> {
    return (await this.#calls.json({ method: 'GET', path: '/v1/vms', ...options }, VmListSchema))
      .vms
  }

  get(name: string, options: CallOptions = {}): Promise<VmView> {
    return this.#calls.json({ method: 'GET', path: vmPath(name), ...options }, VmViewSchema)
  }

  /** Resolves when its QEMU runs; one that runs takes over its targets, nothing else. */
  start(name: string, body: StartVmRequestInput = {}, options: CallOptions = {}): Promise<VmView> {
    return this.#view(name, '/start', body, options)
  }

  /** Starts one with a direct boot under SEV; resolves when the firmware has measured it, and it waits for {@link giveSecret} or {@link refuseLaunch}. */
  launchWithOwner(
    name: string,
    body: SevLaunchRequest,
    options: CallOptions = {},
  ): Promise<SevLaunch> {
    const path = vmPath(name, '/sev-launch')
    return this.#calls.json({ method: 'POST', path, body, ...options }, SevLaunchSchema)
  }

  /** Resolves when its guest runs. */
  giveSecret(name: string, body: SevSecret, options: CallOptions = {}): Promise<VmView> {
    return this.#view(name, '/sev-launch/secret', body, options)
  }

  /** Resolves when nothing of the launch is left. */
  async refuseLaunch(name: string, options: CallOptions = {}): Promise<void> {
    const path = vmPath(name, '/sev-launch')
    await this.#calls.done({ method: 'DELETE', path, ...options })
  }

  /** Resolves when it has ended; stopping one at rest does nothing. */
  stop(name: string, body: StopVmRequestInput = {}, options: CallOptions = {}): Promise<VmView> {
    return this.#view(name, '/stop', body, options)
  }

  restart(
    name: string,
    body: RestartVmRequestInput = {},
    options: CallOptions = {},
  ): Promise<VmView> {
    return this.#view(name, '/restart', body, options)
  }

  resize(name: string, body: ResizeVmRequest, options: CallOptions = {}): Promise<VmView> {
    return this.#view(name, '/resize', body, options)
  }

  /** Removes one that is at rest, with its disk. */
  async remove(name: string, options: CallOptions = {}): Promise<void> {
    await this.#calls.done({ method: 'DELETE', path: vmPath(name), ...options })
  }

  async snapshots(name: string, options: CallOptions = {}): Promise<Snapshot[]> {
    const call = { method: 'GET', path: vmPath(name, '/snapshots'), ...options }
    return (await this.#calls.json(call, SnapshotListSchema)).snapshots
  }

  async createSnapshot(
    name: string,
    snapshot: string,
    options: CallOptions = {},
  ): Promise<Snapshot[]> {
    const path = vmPath(name, '/snapshots')
    const call = { method: 'POST', path, body: { name: snapshot }, ...options }
    return (await this.#calls.json(call, SnapshotListSchema)).snapshots
  }

  restoreSnapshot(name: string, snapshot: string, options: CallOptions = {}): Promise<VmView> {
    return this.#view(name, `/snapshots/${encodeURIComponent(snapshot)}/restore`, {}, options)
  }

  async deleteSnapshot(name: string, snapshot: string, options: CallOptions = {}): Promise<void> {
    const path = vmPath(name, `/snapshots/${encodeURIComponent(snapshot)}`)
    await this.#calls.done({ method: 'DELETE', path, ...options })
  }

  /** What the guest wrote on its serial console. With `follow` it goes on until the machine ends. */
  consoleLog(
    name: string,
    options: CallOptions & { readonly follow?: boolean } = {},
  ): AsyncGenerator<LogEntry> {
    const query = options.follow === true ? '?follow=true' : ''
    const path = vmPath(name, `/console-log${query}`)
    return this.#calls.stream({ method: 'GET', path, signal: options.signal }, LogEntrySchema)
  }

  /** Raw bytes to and from the serial console. With `view` what is sent goes nowhere. */
  console(name: string, options: CallOptions & { readonly view?: boolean } = {}): Promise<Duplex> {
    const query = options.view === true ? '?view=true' : ''
    const path = vmPath(name, `/console${query}`)
    return this.#calls.upgrade({ method: 'POST', path, signal: options.signal })
  }

  /** The bounded history of one, oldest first. */
  events(name: string, options: CallOptions = {}): AsyncGenerator<VmEvent> {
    const call = { method: 'GET', path: vmPath(name, '/events'), ...options }
    return this.#calls.stream(call, VmEventSchema)
  }

  /** Adds what the owner's appraisal found to the history. */
  async noteIntegrity(
    name: string,
    body: IntegrityEvent,
    options: CallOptions = {},
  ): Promise<void> {
    await this.#calls.done({ method: 'POST', path: vmPath(name, '/events'), body, ...options })
  }

  /** @param nonce - 16 to 64 bytes, fresh */
  evidence(name: string, nonce: Uint8Array, options: CallOptions = {}): Promise<EvidenceAnswer> {
    const body = { nonce: Buffer.from(nonce).toString('hex') }
    const call = { method: 'POST', path: vmPath(name, '/evidence'), body, ...options }
    return this.#calls.json(call, EvidenceAnswerSchema)
  }

  status(name: string, options: CallOptions = {}): Promise<StatusAnswer> {
    const call = { method: 'GET', path: vmPath(name, '/status'), ...options }
    return this.#calls.json(call, StatusAnswerSchema)
  }

  /** Raw bytes to and from the agent's `channel`: TLS by the agent follows. */
  connect(name: string, options: CallOptions = {}): Promise<Duplex> {
    return this.#calls.upgrade({ method: 'POST', path: vmPath(name, '/connect'), ...options })
  }

  /** The TCG event log of this boot. */
  bootLog(name: string, options: CallOptions = {}): Promise<BootLog> {
    const call = { method: 'GET', path: vmPath(name, '/boot-log'), ...options }
    return this.#calls.json(call, BootLogSchema)
  }

  /** The integrity baseline, as it was stored. */
  baseline(name: string, options: CallOptions = {}): Promise<Record<string, unknown>> {
    const call = { method: 'GET', path: vmPath(name, '/baseline'), ...options }
    return this.#calls.json(call, BaselineSchema)
  }

  async storeBaseline(name: string, body: object, options: CallOptions = {}): Promise<void> {
    await this.#calls.done({ method: 'PUT', path: vmPath(name, '/baseline'), body, ...options })
  }

  /** What the host can read of its memory, in a file of the host that the caller removes. */
  dumpMemory(name: string, options: CallOptions = {}): Promise<MemoryDump> {
    const call = { method: 'POST', path: vmPath(name, '/memory-dump'), ...options }
    return this.#calls.json(call, MemoryDumpSchema)
  }

  #view(name: string, rest: string, body: unknown, options: CallOptions): Promise<VmView> {
    return this.#calls.json(
      { method: 'POST', path: vmPath(name, rest), body, ...options },
      VmViewSchema,
    )
  }
}

function vmPath(name: string, rest = ''): string {
  return `/v1/vms/${encodeURIComponent(name)}${rest}`
}
