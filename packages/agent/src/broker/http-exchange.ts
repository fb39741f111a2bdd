/** One bounded HTTP request after the other over connections that somebody else makes. */
import { Agent, request, type IncomingHttpHeaders } from 'node:http'
import type { Duplex } from 'node:stream'
import { CloisterError } from '@cloister/protocol/error'
import { LIMITS } from '@cloister/protocol/limits'

export interface HttpRequest {
  readonly method: 'GET' | 'POST'
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  readonly signal: AbortSignal
}

export interface HttpAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

export type HttpExchange = (request: HttpRequest) => Promise<HttpAnswer>

/** Answers may be as long as a resource in its JWE, in base64 with members around it. */
const ANSWER_LIMIT_BYTES = 2 * LIMITS.resourceBytes + (64 << 10)
const IDLE_MS = 5_000

/** In a snapshot Node's modules for HTTP are loaded when they are first used: whoever waits for something else can have it done meanwhile. */
export function loadHttp(): unknown {
  return request
}

/**
 * @param connect - makes a connection, TLS included
 * @throws (the exchange) what `connect` threw, else CloisterError `agent.broker-unreachable`, `agent.broker-malformed`; the signal's reason
 */
export function httpExchange(connect: () => Promise<Duplex>): HttpExchange {
  const agent = connectingAgent(connect)
  return ({ method, path, headers, body, signal }) => {
    const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>()
    const outgoing = request({
      agent,
      method,
      path,
      signal,
      headers: {
        ...headers,
        ...(body !== undefined && {
          'content-type': 'application/json',
          'content-length': String(Buffer.byteLength(body)),
        }),
      },
    })
    const fail = (error: unknown) =>
      reject(
        error instanceof CloisterError
          ? error
          : signal.aborted
            ? signal.reason
            : new CloisterError('agent.broker-unreachable', { cause: error }),
      )
    outgoing.once('error', fail)
    // A request without a connection yet hears of its abort only when there is one.
    const abort = () => fail(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    outgoing.once('response', (response) => {
      const chunks: Buffer[] = []
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        chunks.push(chunk)
        if (bytes <= ANSWER_LIMIT_BYTES) return
        reject(new CloisterError('agent.broker-malformed', { why: 'the answer is too long' }))
        outgoing.destroy()
      })
      response.once('error', fail)
      response.once('close', () => fail(new Error('the connection ended in the answer')))
      response.once('end', () => {
        const { statusCode = 0, headers } = response
        resolve({ status: statusCode, headers, body: Buffer.concat(chunks) })
      })
    })
    outgoing.end(body)
    return promise.finally(() => signal.removeEventListener('abort', abort))
  }
}

/** Node's agent takes the connection by callback as well, and any kind of duplex. */
function connectingAgent(connect: () => Promise<Duplex>): Agent {
  const agent = new Agent({ keepAlive: true, maxSockets: 4, timeout: IDLE_MS })
  agent.createConnection = (_options, callback) => {
    const connected = callback as (error: Error | null, stream?: Duplex) => void
    connect().then((stream) => connected(null, stream), connected)
    return undefined
  }
  return agent
}
