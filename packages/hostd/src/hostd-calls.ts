/** HTTP over hostd's socket: every answer parsed and bounded. To the data owner the host is hostile. */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { z } from 'zod'
import { CloisterError } from '@cloister/protocol/error'
import { HOSTD_LIMITS, HOSTD_STREAM_PROTOCOL } from '@cloister/protocol/hostd-api'
import { request } from '@cloister/protocol/node-http'
import { lines } from './ndjson.ts'

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
}

export interface Call extends CallOptions {
  readonly method: string
  readonly path: string
  readonly body?: unknown
}

export class HostdCalls {
  readonly #socketPath: string

  constructor(socketPath: string) {
    this.#socketPath = socketPath
  }

  /** One answer. @throws CloisterError of hostd, `hostd.unreachable`, `hostd.answer-malformed` */
  async json<Schema extends z.ZodType>(call: Call, schema: Schema): Promise<z.output<Schema>> {
    return parsed(schema, await readBody(await this.#send(call)), call.path)
  }

  /** A call whose answer says nothing. */
  async done(call: Call): Promise<void> {
    const response = await this.#send(call)
    response.resume()
  }

  /** One value a line. */
  async *stream<Schema extends z.ZodType>(
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

  /** Raw bytes from the answer on. */
  upgrade({ method, path, signal }: Call): Promise<Duplex> {
    return new Promise((resolve, reject) => {
      const sent = request({
        socketPath: this.#socketPath,
        agent: false,
        method,
        path,
        headers: { connection: 'upgrade', upgrade: HOSTD_STREAM_PROTOCOL },
        ...(signal && { signal }),
      })
      sent.on('upgrade', (_response, stream, head) => {
        if (head.length > 0) stream.unshift(head)
        resolve(stream)
      })
      sent.on('response', (response) => {
        rejectWithError(response).catch(reject)
      })
      sent.on('error', (error) => reject(this.#failure(error, signal)))
      sent.end()
    })
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
