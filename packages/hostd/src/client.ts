/**
 * hostd's REST interface as typed calls over its unix socket. Every answer is parsed and bounded: to the data owner the host is hostile.
 * Errors of hostd are thrown as {@link CloisterError} with their code; a socket that nobody serves is `hostd.unreachable`.
 */
import { request, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import type { z } from 'zod'
import type { Directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import {
  ConsoleAnswerSchema,
  EvidenceAnswerSchema,
  HOSTD_LIMITS,
  HOSTD_STREAM_PROTOCOL,
  HostdEventSchema,
  HostdInfoSchema,
  LogEntrySchema,
  StatusAnswerSchema,
  WorkloadDetailSchema,
  WorkloadListSchema,
  WorkloadViewSchema,
  type EvidenceAnswer,
  type HostdEvent,
  type HostdInfo,
  type LogEntry,
  type StartRequestInput,
  type StatusAnswer,
  type StopRequestInput,
  type WorkloadDetail,
  type WorkloadView,
} from '@cloister/protocol/hostd-api'
import { lines } from './ndjson.ts'

/** hostd's socket in the runtime directory. */
export function hostdSocket(directories: Pick<Directories, 'runtime'>): string {
  return join(directories.runtime, 'hostd.sock')
}

interface Call {
  readonly method: string
  readonly path: string
  readonly body?: unknown
  readonly signal?: AbortSignal | undefined
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
}

export class HostdClient {
  readonly #socketPath: string

  /** @param socketPath - see {@link hostdSocket} */
  constructor(socketPath: string) {
    this.#socketPath = socketPath
  }

  info(options: CallOptions = {}): Promise<HostdInfo> {
    return this.#json({ method: 'GET', path: '/v1/info', ...options }, HostdInfoSchema)
  }

  /** Starts a workload; resolves when hostd has taken it, long before it runs: watch {@link events}. */
  start(workload: StartRequestInput, options: CallOptions = {}): Promise<WorkloadDetail> {
    const call = { method: 'POST', path: '/v1/workloads', body: workload, ...options }
    return this.#json(call, WorkloadDetailSchema)
  }

  async list(options: CallOptions = {}): Promise<WorkloadView[]> {
    const call = { method: 'GET', path: '/v1/workloads', ...options }
    return (await this.#json(call, WorkloadListSchema)).workloads
  }

  get(name: string, options: CallOptions = {}): Promise<WorkloadDetail> {
    return this.#json({ method: 'GET', path: workloadPath(name), ...options }, WorkloadDetailSchema)
  }

  /** Stops a workload and resolves when it has ended. Stopping an ended one does nothing. */
  stop(
    name: string,
    body: StopRequestInput = {},
    options: CallOptions = {},
  ): Promise<WorkloadView> {
    const call = { method: 'POST', path: workloadPath(name, '/stop'), body, ...options }
    return this.#json(call, WorkloadViewSchema)
  }

  /** Removes an ended workload with its logs. */
  async remove(name: string, options: CallOptions = {}): Promise<void> {
    const response = await this.#send({ method: 'DELETE', path: workloadPath(name), ...options })
    response.resume()
  }

  /** Output that the guest gave. With `follow` it goes on until the workload ends. */
  logs(
    name: string,
    options: CallOptions & { readonly follow?: boolean } = {},
  ): AsyncGenerator<LogEntry> {
    const query = options.follow === true ? '?follow=true' : ''
    const path = workloadPath(name, `/logs${query}`)
    return this.#stream({ method: 'GET', path, signal: options.signal }, LogEntrySchema)
  }

  /** @param nonce - 16 to 64 bytes, fresh */
  evidence(name: string, nonce: Uint8Array, options: CallOptions = {}): Promise<EvidenceAnswer> {
    const body = { nonce: Buffer.from(nonce).toString('hex') }
    const call = { method: 'POST', path: workloadPath(name, '/evidence'), body, ...options }
    return this.#json(call, EvidenceAnswerSchema)
  }

  status(name: string, options: CallOptions = {}): Promise<StatusAnswer> {
    const call = { method: 'GET', path: workloadPath(name, '/status'), ...options }
    return this.#json(call, StatusAnswerSchema)
  }

  /** The end of what the guest wrote on its console: only a guest with `debug` has one. */
  async console(name: string, options: CallOptions = {}): Promise<string> {
    const call = { method: 'GET', path: workloadPath(name, '/console'), ...options }
    return (await this.#json(call, ConsoleAnswerSchema)).text
  }

  /** Views of all workloads, or of one, now and at every change, until the caller stops reading. */
  events(options: CallOptions & { readonly workload?: string } = {}): AsyncGenerator<HostdEvent> {
    const query =
      options.workload === undefined ? '' : `?workload=${encodeURIComponent(options.workload)}`
    const call = { method: 'GET', path: `/v1/events${query}`, signal: options.signal }
    return this.#stream(call, HostdEventSchema)
  }

  /** Ends hostd; running guests go on and are found again by the next hostd. */
  async shutdown(options: CallOptions = {}): Promise<void> {
    const response = await this.#send({ method: 'POST', path: '/v1/shutdown', ...options })
    response.resume()
  }

  /** Raw bytes to and from the guest's `channel`: TLS by the agent follows. */
  connect(name: string, options: CallOptions = {}): Promise<Duplex> {
    return new Promise((resolve, reject) => {
      const sent = request({
        socketPath: this.#socketPath,
        agent: false,
        method: 'POST',
        path: workloadPath(name, '/connect'),
        headers: { connection: 'upgrade', upgrade: HOSTD_STREAM_PROTOCOL },
        ...(options.signal && { signal: options.signal }),
      })
      sent.on('upgrade', (_response, stream, head) => {
        if (head.length > 0) stream.unshift(head)
        resolve(stream)
      })
      sent.on('response', (response) => {
        rejectWithError(response).catch(reject)
      })
      sent.on('error', (error) => reject(this.#failure(error, options.signal)))
      sent.end()
    })
  }

  async #json<Schema extends z.ZodType>(call: Call, schema: Schema): Promise<z.output<Schema>> {
    return parsed(schema, await readBody(await this.#send(call)), call.path)
  }

  async *#stream<Schema extends z.ZodType>(
    call: Call,
    schema: Schema,
  ): AsyncGenerator<z.output<Schema>> {
    const response = await this.#send(call)
    const tooLong = () => malformed(call.path, 'a line exceeds its bound')
    try {
      for await (const line of lines(response, HOSTD_LIMITS.lineBytes, tooLong))
        yield parsed(schema, line, call.path)
    } catch (error) {
      throw error instanceof CloisterError ? error : this.#failure(error, call.signal)
    } finally {
      response.destroy()
    }
  }

  /** Why a connection failed: the caller gave up, or nobody serves. */
  #failure(cause: unknown, signal: AbortSignal | undefined): Error {
    if (signal?.aborted === true) return signal.reason as Error
    const reason = cause instanceof Error ? cause.message : String(cause)
    const why = `no hostd answers on its socket (${reason})`
    return new CloisterError('hostd.unreachable', { where: this.#socketPath, why, cause })
  }

  /** Sends one request and gives the answer when it is a success; throws hostd's error otherwise. */
  #send(call: Call): Promise<IncomingMessage> {
    const body = call.body === undefined ? undefined : JSON.stringify(call.body)
    return new Promise((resolve, reject) => {
      const sent = request({
        socketPath: this.#socketPath,
        agent: false,
        method: call.method,
        path: call.path,
        headers:
          body === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
        ...(call.signal && { signal: call.signal }),
      })
      sent.on('response', (response) => {
        const status = response.statusCode ?? 0
        if (status >= 200 && status < 300) resolve(response)
        else rejectWithError(response).catch(reject)
      })
      sent.on('error', (error) => reject(this.#failure(error, call.signal)))
      sent.end(body)
    })
  }
}

function workloadPath(name: string, rest = ''): string {
  return `/v1/workloads/${encodeURIComponent(name)}${rest}`
}

async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > HOSTD_LIMITS.bodyBytes) {
      response.destroy()
      throw malformed('body', 'it exceeds its bound')
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

async function rejectWithError(response: IncomingMessage): Promise<never> {
  const text = await readBody(response)
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    throw malformed('body', `status ${response.statusCode} without an error object`)
  }
  throw CloisterError.fromJSON(body)
}

function parsed<Schema extends z.ZodType>(
  schema: Schema,
  text: string,
  where: string,
): z.output<Schema> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw malformed(where, 'it is not JSON')
  }
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  throw malformed(where, `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`)
}

function malformed(where: string, why: string): CloisterError {
  return new CloisterError('hostd.answer-malformed', { where, why })
}
