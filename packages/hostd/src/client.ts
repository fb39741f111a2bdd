/**
 * hostd's REST interface as typed calls over its unix socket. Every answer is parsed and bounded: to the data owner the host is hostile.
 * Errors of hostd are thrown as {@link CloisterError} with their code; a socket that nobody serves is `hostd.unreachable`.
 */
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import type { Directories } from '@cloister/protocol/directories'
import {
  ConsoleAnswerSchema,
  EvidenceAnswerSchema,
  HostdInfoSchema,
  LogEntrySchema,
  MovedTargetsSchema,
  StatusAnswerSchema,
  WorkloadDetailSchema,
  WorkloadListSchema,
  WorkloadViewSchema,
  type EvidenceAnswer,
  type HostdInfo,
  type LogEntry,
  type MoveTarget,
  type StartRequestInput,
  type StatusAnswer,
  type StopRequestInput,
  type WorkloadDetail,
  type WorkloadView,
} from '@cloister/protocol/hostd-api'
import { HostdEventSchema, type HostdEvent } from '@cloister/protocol/hostd-events'
import { QuotaAnswerSchema, type Quota, type QuotaAnswer } from '@cloister/protocol/hostd-vm-api'
import { HostdCalls, type CallOptions } from './hostd-calls.ts'
import { VmCalls } from './machines/vm-calls.ts'

/** hostd's socket in the runtime directory. */
export function hostdSocket(directories: Pick<Directories, 'runtime'>): string {
  return join(directories.runtime, 'hostd.sock')
}

export class HostdClient {
  /** Calls for machines that boot their owner's disk. */
  readonly vms: VmCalls
  readonly #calls: HostdCalls

  /** @param socketPath - see {@link hostdSocket} */
  constructor(socketPath: string) {
    this.#calls = new HostdCalls(socketPath)
    this.vms = new VmCalls(this.#calls)
  }

  info(options: CallOptions = {}): Promise<HostdInfo> {
    return this.#calls.json({ method: 'GET', path: '/v1/info', ...options }, HostdInfoSchema)
  }

  /** Starts a workload; resolves when hostd has taken it, long before it runs: watch {@link events}. */
  start(workload: StartRequestInput, options: CallOptions = {}): Promise<WorkloadDetail> {
    const call = { method: 'POST', path: '/v1/workloads', body: workload, ...options }
    return this.#calls.json(call, WorkloadDetailSchema)
  }

  async list(options: CallOptions = {}): Promise<WorkloadView[]> {
    const call = { method: 'GET', path: '/v1/workloads', ...options }
    return (await this.#calls.json(call, WorkloadListSchema)).workloads
  }

  get(name: string, options: CallOptions = {}): Promise<WorkloadDetail> {
    return this.#calls.json(
      { method: 'GET', path: workloadPath(name), ...options },
      WorkloadDetailSchema,
    )
  }

  /** Stops a workload and resolves when it has ended. Stopping an ended one does nothing. */
  stop(
    name: string,
    body: StopRequestInput = {},
    options: CallOptions = {},
  ): Promise<WorkloadView> {
    const call = { method: 'POST', path: workloadPath(name, '/stop'), body, ...options }
    return this.#calls.json(call, WorkloadViewSchema)
  }

  /** Removes an ended workload with its logs. */
  async remove(name: string, options: CallOptions = {}): Promise<void> {
    await this.#calls.done({ method: 'DELETE', path: workloadPath(name), ...options })
  }

  /** Output that the guest gave. With `follow` it goes on until the workload ends. */
  logs(
    name: string,
    options: CallOptions & { readonly follow?: boolean } = {},
  ): AsyncGenerator<LogEntry> {
    const query = options.follow === true ? '?follow=true' : ''
    const path = workloadPath(name, `/logs${query}`)
    return this.#calls.stream({ method: 'GET', path, signal: options.signal }, LogEntrySchema)
  }

  /** @param nonce - 16 to 64 bytes, fresh */
  evidence(name: string, nonce: Uint8Array, options: CallOptions = {}): Promise<EvidenceAnswer> {
    const body = { nonce: Buffer.from(nonce).toString('hex') }
    const call = { method: 'POST', path: workloadPath(name, '/evidence'), body, ...options }
    return this.#calls.json(call, EvidenceAnswerSchema)
  }

  status(name: string, options: CallOptions = {}): Promise<StatusAnswer> {
    const call = { method: 'GET', path: workloadPath(name, '/status'), ...options }
    return this.#calls.json(call, StatusAnswerSchema)
  }

  /** The end of what the guest wrote on its console: only a guest with `debug` has one. */
  async console(name: string, options: CallOptions = {}): Promise<string> {
    const call = { method: 'GET', path: workloadPath(name, '/console'), ...options }
    return (await this.#calls.json(call, ConsoleAnswerSchema)).text
  }

  /** Views of all workloads and machines, or of one, now and at every change, until the caller stops reading. */
  events(
    options: CallOptions & { readonly workload?: string; readonly vm?: string } = {},
  ): AsyncGenerator<HostdEvent> {
    const { workload, vm } = options
    const query =
      workload === undefined && vm === undefined
        ? ''
        : `?${workload === undefined ? 'vm' : 'workload'}=${encodeURIComponent(workload ?? vm ?? '')}`
    const call = { method: 'GET', path: `/v1/events${query}`, signal: options.signal }
    return this.#calls.stream(call, HostdEventSchema)
  }

  /** Leads the streams of all guests to where something has moved. @returns names of those that reached it where it was */
  async moveTarget(body: MoveTarget, options: CallOptions = {}): Promise<string[]> {
    const call = { method: 'POST', path: '/v1/targets/move', body, ...options }
    return (await this.#calls.json(call, MovedTargetsSchema)).followed
  }

  /** Ends hostd; running guests go on and are found again by the next hostd. */
  async shutdown(options: CallOptions = {}): Promise<void> {
    await this.#calls.done({ method: 'POST', path: '/v1/shutdown', ...options })
  }

  /** Raw bytes to and from the guest's `channel`: TLS by the agent follows. */
  connect(name: string, options: CallOptions = {}): Promise<Duplex> {
    return this.#calls.upgrade({ method: 'POST', path: workloadPath(name, '/connect'), ...options })
  }

  /** What all guests may have together, and have. */
  quota(options: CallOptions = {}): Promise<QuotaAnswer> {
    return this.#calls.json({ method: 'GET', path: '/v1/quota', ...options }, QuotaAnswerSchema)
  }

  setQuota(body: Quota, options: CallOptions = {}): Promise<QuotaAnswer> {
    const call = { method: 'PUT', path: '/v1/quota', body, ...options }
    return this.#calls.json(call, QuotaAnswerSchema)
  }
}

function workloadPath(name: string, rest = ''): string {
  return `/v1/workloads/${encodeURIComponent(name)}${rest}`
}
