/**
 * CoCo's REST interface for the container, on the guest's loopback. It gives the resources that the workload names, and nothing
 * else; CoCo's raw attestation calls only where the initdata opens them, for they let the container speak as the agent.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { CloisterError } from '@cloister/protocol/error'
import { ERROR_CODES } from '@cloister/protocol/errors/catalogue'
import { AGENT_VERSION } from '../version.ts'

export const REST_PORT = 8006

export interface RestOptions {
  readonly tee: string
  /** Paths of `workload.container.resources`. */
  readonly resources: readonly string[]
  readonly getResource: (path: string) => Promise<Uint8Array>
  /** Absent: `/aa/*` is off. */
  readonly attestation?: RawAttestation
}

export interface RawAttestation {
  /** Evidence JSON over up to 64 bytes that the container chose. */
  evidence(runtimeData: Uint8Array): Promise<string>
  /** A token of the broker with the private key that it is bound to, as CoCo's agent writes them. */
  token(): Promise<string>
}

interface Answer {
  readonly status: number
  readonly body: string | Uint8Array
  readonly type?: string
}

const RESOURCE = '/cdh/resource/'
const NOT_FOUND: Answer = { status: 404, body: 'URL NOT FOUND' }
const NOT_ALLOWED: Answer = { status: 405, body: 'Method Not Allowed' }
const BAD_REQUEST: Answer = { status: 400, body: 'BAD REQUEST' }
const REPORT_DATA_BYTES = 64

export function restServer(options: RestOptions): Server {
  const server = createServer((request, response) => {
    void serve(options, request, response)
  })
  // The container can only hurt itself, but its connections cost our memory.
  server.maxConnections = 64
  server.requestTimeout = 10_000
  return server
}

async function serve(
  options: RestOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  request.resume()
  const { status, body, type } = await answer(options, request).catch(failure)
  response.writeHead(status, { 'content-type': type ?? 'text/plain' })
  response.end(body)
}

async function answer(options: RestOptions, request: IncomingMessage): Promise<Answer> {
  const peer = request.socket.remoteAddress
  if (peer !== '127.0.0.1') return { status: 403, body: 'Forbidden' }
  const url = URL.parse(request.url ?? '', 'http://guest')
  if (url === null) return BAD_REQUEST
  const { pathname, searchParams } = url
  const isGet = request.method === 'GET'
  if (pathname === '/info') return isGet ? info(options) : NOT_ALLOWED
  if (pathname.startsWith(RESOURCE))
    return isGet ? resource(options, pathname.slice(RESOURCE.length)) : NOT_ALLOWED
  if (pathname === '/aa/evidence' && isGet) return evidence(options, searchParams)
  if (pathname === '/aa/token' && isGet) return token(options, searchParams)
  return NOT_FOUND
}

function info({ tee, attestation }: RestOptions): Answer {
  const feature = attestation === undefined ? 'resource' : 'all'
  return {
    status: 200,
    type: 'application/json',
    body: JSON.stringify({ version: AGENT_VERSION, tee, feature }),
  }
}

async function resource({ resources, getResource }: RestOptions, path: string): Promise<Answer> {
  // Whether the broker would release it is not ours to find out for a container that was not given it.
  if (!resources.includes(path)) return { status: 403, body: 'agent.request-denied' }
  return { status: 200, type: 'application/octet-stream', body: await getResource(path) }
}

async function evidence({ attestation }: RestOptions, query: URLSearchParams): Promise<Answer> {
  if (attestation === undefined) return { status: 404, body: 'Attestation Feature Not Enabled' }
  const text = query.get('runtime_data')
  const encoding = query.get('encoding')
  if (text === null || (encoding !== null && encoding !== 'base64')) return BAD_REQUEST
  if (encoding === 'base64' && !/^[A-Za-z0-9_-]*$/.test(text)) return BAD_REQUEST
  const runtimeData = Buffer.from(text, encoding === 'base64' ? 'base64url' : 'utf8')
  if (runtimeData.length > REPORT_DATA_BYTES) return BAD_REQUEST
  const body = await attestation.evidence(runtimeData)
  return { status: 200, type: 'application/octet-stream', body }
}

async function token({ attestation }: RestOptions, query: URLSearchParams): Promise<Answer> {
  if (attestation === undefined) return { status: 404, body: 'Attestation Feature Not Enabled' }
  if (query.get('token_type') !== 'kbs') return BAD_REQUEST
  return { status: 200, type: 'application/octet-stream', body: await attestation.token() }
}

function failure(error: unknown): Answer {
  const { code } = CloisterError.from(error)
  return { status: Math.max(ERROR_CODES[code].status, 400), body: code }
}
