/** The transport over Node's own HTTP: sockets, or any duplex that `connect` makes, with TLS by the CA that the workload names. */
import {
  Agent as HttpAgent,
  request as httpRequest,
  type ClientRequestArgs,
  type IncomingMessage,
} from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { Readable, type Duplex } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { connect as tlsConnect } from 'node:tls'
import { CloisterError } from '@cloister/protocol/error'
import type { HttpRequest, HttpResponse, HttpTransport } from './http-message.ts'

export interface HttpTransportOptions {
  /** A byte stream to the origin of the URL; throws for an origin that is not reachable. Absent: a TCP connection. */
  readonly connect?: (url: URL) => Duplex | Promise<Duplex>
  /** PEM certificates, the only ones that TLS may chain to. Absent: Node's public roots. */
  readonly ca?: readonly string[]
  /** Longest silence of the peer, before and within an answer. Absent: 60 s, for a registry may fetch from its own store first. */
  readonly idleTimeoutMs?: number
}

/** Hosts of such transports are few; more connections than this to one only compete. */
const SOCKETS = 8

/** The connections are kept for the next request; `[Symbol.dispose]` closes them. */
export function httpTransport(options: HttpTransportOptions = {}): HttpTransport & Disposable {
  const idleTimeoutMs = options.idleTimeoutMs ?? 60_000
  const shared = { keepAlive: true, maxSockets: SOCKETS, timeout: idleTimeoutMs }
  const httpAgent = new HttpAgent(shared)
  const httpsAgent = new HttpsAgent({
    ...shared,
    ...(options.ca !== undefined && { ca: [...options.ca] }),
  })
  const { connect } = options
  if (connect !== undefined) {
    useDuplex(httpAgent, 'http', (url) => connect(url))
    useDuplex(httpsAgent, 'https', async (url) =>
      overTls(await connect(url), url, { ca: options.ca, silenceMs: idleTimeoutMs }),
    )
  }
  const transport = (request: HttpRequest) =>
    send(request, request.url.protocol === 'https:' ? httpsAgent : httpAgent, idleTimeoutMs)
  return Object.assign(transport, {
    [Symbol.dispose]() {
      httpAgent.destroy()
      httpsAgent.destroy()
    },
  })
}

async function send(
  request: HttpRequest,
  agent: HttpAgent | HttpsAgent,
  idleTimeoutMs: number,
): Promise<HttpResponse> {
  const { url, method, headers, signal } = request
  const makeRequest = url.protocol === 'https:' ? httpsRequest : httpRequest
  const message = makeRequest(url, { method, headers, agent, ...(signal && { signal }) })
  message.setTimeout(idleTimeoutMs, () =>
    message.destroy(
      new CloisterError('registry.unreachable', {
        where: url.host,
        why: `it was silent for ${idleTimeoutMs} ms`,
      }),
    ),
  )
  const answer = new Promise<IncomingMessage>((resolve, reject) => {
    message.once('response', resolve)
    message.once('error', reject)
  })
  try {
    const [response] = await Promise.all([answer, sendBody(message, request.body)])
    return {
      status: response.statusCode ?? 0,
      headers: joinedHeaders(response),
      body: bodyOf(response, url),
    }
  } catch (error) {
    message.destroy()
    throw connectionError(error, url, signal)
  }
}

async function sendBody(message: NodeJS.WritableStream, body: HttpRequest['body']): Promise<void> {
  if (body === undefined) message.end()
  else if (body instanceof Uint8Array) message.end(body)
  else await pipeline(Readable.from(body), message)
}

async function* bodyOf(response: IncomingMessage, url: URL): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of response) yield chunk as Buffer
  } catch (error) {
    throw connectionError(error, url)
  }
}

function joinedHeaders(response: IncomingMessage): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(response.headers).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.join(', ') : value,
    ]),
  )
}

/** Node's agents take the connection by callback as well, and any kind of duplex. */
function useDuplex(
  agent: HttpAgent,
  scheme: 'http' | 'https',
  open: (url: URL) => Duplex | Promise<Duplex>,
): void {
  const openFor = async (target: ClientRequestArgs): Promise<Duplex> => {
    const host = target.host ?? ''
    const name = host.includes(':') ? `[${host}]` : host
    return open(new URL(`${scheme}://${name}:${target.port}`))
  }
  agent.createConnection = (target, callback) => {
    const connected = callback as (error: Error | null, duplex?: Duplex) => void
    openFor(target).then((duplex) => connected(null, duplex), connected)
    return undefined
  }
}

/** Until it is connected no request has the connection, and so nothing else bounds the peer's silence. */
function overTls(
  socket: Duplex,
  url: URL,
  { ca, silenceMs }: { readonly ca: readonly string[] | undefined; readonly silenceMs: number },
): Promise<Duplex> {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const isName = !/^[\d.]+$|:/.test(host)
  return new Promise((resolve, reject) => {
    const tls = tlsConnect({
      socket,
      host,
      ...(isName && { servername: host }),
      ...(ca !== undefined && { ca: [...ca] }),
      ALPNProtocols: ['http/1.1'],
    })
    tls.setTimeout(silenceMs, () => tls.destroy(new Error(`no TLS handshake in ${silenceMs} ms`)))
    tls.once('secureConnect', () => {
      tls.setTimeout(0)
      tls.removeAllListeners('timeout')
      tls.off('error', reject)
      resolve(tls)
    })
    tls.once('error', reject)
  })
}

const TLS_CODES =
  /^(ERR_TLS_|CERT_|DEPTH_ZERO_SELF_SIGNED|SELF_SIGNED|UNABLE_TO_(VERIFY|GET_ISSUER)|INVALID_CA|ERR_SSL_)/

function connectionError(error: unknown, url: URL, signal?: AbortSignal): unknown {
  if (error instanceof CloisterError || signal?.aborted === true) return error
  const { code, message } = error as NodeJS.ErrnoException
  // OpenSSL's words for what is no TLS record.
  if (code === 'EPROTO' && message.includes('wrong version number'))
    return new CloisterError('registry.unreachable', {
      where: url.host,
      why: 'it does not speak TLS, and registries are asked over HTTPS only',
      fix: ['give the registry a certificate, and name its CA: --registry-ca FILE'],
      cause: error,
    })
  return TLS_CODES.test(code ?? '')
    ? new CloisterError('registry.tls-untrusted', { where: url.host, why: message, cause: error })
    : new CloisterError('registry.unreachable', { where: url.host, why: message, cause: error })
}
