/** One HTTPS request over TLS that is pinned to public keys: no certificate authority is asked. */
import { connect, type TLSSocket } from 'node:tls'
import { CloisterError } from '@cloister/protocol/error'
import { request as httpRequest } from '@cloister/protocol/node-http'
import { peerKeyDigest } from './peer-key-digest.ts'

export interface PinnedRequest {
  readonly url: URL
  /** SHA-256 of the DER SubjectPublicKeyInfo, hex. */
  readonly spki: readonly string[]
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  /** How long nothing may come. Absent: 15 s. */
  readonly silenceMs?: number
  readonly signal?: AbortSignal | undefined
}

export interface PinnedResponse {
  readonly status: number
  /** Of `Set-Cookie`, name and value only. */
  readonly cookies: readonly string[]
  readonly body: Buffer
}

/** Answers of the broker are lists at most. */
const MAX_ANSWER_BYTES = 32 << 20
/** A broker on a busy machine answers within a second. */
const SILENCE_MS = 15_000

/** @throws CloisterError `owner.broker-unreachable`, `owner.broker-silent`, `owner.broker-pin-mismatch` */
export async function pinnedRequest(call: PinnedRequest): Promise<PinnedResponse> {
  const socket = await pinnedSocket(call)
  try {
    return await exchange(call, socket)
  } catch (cause) {
    throw unreachable(call.url, cause)
  } finally {
    socket.destroy()
  }
}

function unreachable(url: URL, cause: unknown): CloisterError {
  if (cause instanceof CloisterError) return cause
  const why = cause instanceof Error ? { why: cause.message } : {}
  return new CloisterError('owner.broker-unreachable', { where: url.origin, ...why, cause })
}

/** Nothing is sent before the peer's key was compared. */
async function pinnedSocket({
  url,
  spki,
  signal,
  silenceMs = SILENCE_MS,
}: PinnedRequest): Promise<TLSSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>()
  signal?.throwIfAborted()
  const socket = connect({
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: Number(url.port === '' ? 443 : url.port),
    // The pin is stronger than any authority's word; without a match the connection ends below.
    rejectUnauthorized: false,
    // Else Node reads all public roots first, which takes longer than the handshake.
    ca: [],
    minVersion: 'TLSv1.3',
  })
  const abort = () => {
    reject(signal?.reason)
    socket.destroy()
  }
  signal?.addEventListener('abort', abort, { once: true })
  socket.setTimeout(silenceMs, () => {
    const code = socket.connecting ? 'owner.broker-unreachable' : 'owner.broker-silent'
    const why = `${socket.connecting ? 'no connection' : 'connected, and nothing came'} in ${silenceMs / 1000} s`
    socket.destroy(new CloisterError(code, { where: url.origin, why }))
  })
  socket.once('error', (cause) => {
    reject(unreachable(url, cause))
  })
  socket.once('secureConnect', () => {
    const received = peerKeyDigest(socket)
    if (received !== undefined && spki.includes(received)) resolve(socket)
    else {
      socket.destroy()
      reject(
        new CloisterError('owner.broker-pin-mismatch', {
          where: url.origin,
          expected: spki.join(' or '),
          received: received ?? 'no certificate',
        }),
      )
    }
  })
  return await promise.finally(() => {
    signal?.removeEventListener('abort', abort)
  })
}

async function exchange(call: PinnedRequest, socket: TLSSocket): Promise<PinnedResponse> {
  const { promise, resolve, reject } = Promise.withResolvers<PinnedResponse>()
  const request = httpRequest(
    {
      createConnection: () => socket,
      method: call.method,
      path: `${call.url.pathname}${call.url.search}`,
      headers: { host: call.url.host, connection: 'close', ...call.headers },
      ...(call.signal !== undefined && { signal: call.signal }),
    },
    (response) => {
      const chunks: Buffer[] = []
      let size = 0
      response.on('data', (chunk: Buffer) => {
        size += chunk.length
        if (size > MAX_ANSWER_BYTES) response.destroy(new Error('the answer is too long'))
        else chunks.push(chunk)
      })
      response.once('error', reject)
      response.once('end', () => {
        resolve({
          status: response.statusCode ?? 0,
          cookies: (response.headers['set-cookie'] ?? []).map((line) => line.split(';')[0] ?? ''),
          body: Buffer.concat(chunks),
        })
      })
    },
  )
  request.once('error', reject)
  request.end(call.body)
  return await promise
}
