/** hostd's REST calls: which method and path does what. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { CloisterError } from '@cloister/protocol/error'
import {
  EvidenceRequestSchema,
  HOSTD_API_VERSION,
  StartRequestSchema,
  StopRequestSchema,
  isEnded,
  type HostdEvent,
  type HostdInfo,
} from '@cloister/protocol/hostd-api'
import { departure, readJson, sendJson, sendLines } from './http-exchange.ts'
import { metricsText } from './metrics.ts'
import { PRODUCT_VERSION } from './product-version.ts'
import { detailOf } from './record.ts'
import type { Workloads } from './workloads.ts'

export interface RoutesOptions {
  readonly workloads: Workloads
  readonly home: string
  readonly startedAt: string
  readonly shutdown: () => void
}

interface Exchange extends RoutesOptions {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** The name in the path; empty where there is none. */
  readonly name: string
  readonly query: URLSearchParams
  /** Fires when the client goes away. */
  readonly signal: AbortSignal
}

type Handler = (exchange: Exchange) => Promise<void> | void

/** `NAME` stands for one segment of the path. */
const ROUTES: Readonly<Record<string, Handler>> = {
  'GET /v1/info': (exchange) => sendJson(exchange.response, 200, info(exchange)),
  'GET /v1/metrics': ({ response, workloads }) => {
    response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' })
    response.end(metricsText(workloads.list().map(({ view }) => view)))
  },
  'POST /v1/shutdown': ({ response, shutdown }) => {
    response.once('finish', shutdown)
    sendJson(response, 202, {})
  },
  'GET /v1/events': ({ response, ...exchange }) => sendLines(response, events(exchange)),
  'GET /v1/workloads': ({ response, workloads }) =>
    sendJson(response, 200, { workloads: workloads.list().map(({ view }) => view) }),
  'POST /v1/workloads': async ({ request, response, workloads }) => {
    const { view, initdata } = await workloads.start(await readJson(request, StartRequestSchema))
    sendJson(response, 201, detailOf(view, initdata))
  },
  'GET /v1/workloads/NAME': ({ response, workloads, name }) => {
    const { view, initdata } = workloads.get(name)
    sendJson(response, 200, detailOf(view, initdata))
  },
  'DELETE /v1/workloads/NAME': async ({ response, workloads, name }) => {
    await workloads.remove(name)
    sendJson(response, 200, {})
  },
  'POST /v1/workloads/NAME/stop': async ({ request, response, workloads, name }) => {
    const workload = workloads.get(name)
    await workload.stop(await readJson(request, StopRequestSchema))
    sendJson(response, 200, workload.view)
  },
  'GET /v1/workloads/NAME/logs': async ({ response, workloads, name, query, signal }) => {
    const workload = workloads.get(name)
    const follow = query.get('follow') === 'true' && !isEnded(workload.view.state)
    const ring = await workload.logs()
    await sendLines(response, ring.read({ follow, signal }))
  },
  'POST /v1/workloads/NAME/evidence': async ({ request, response, workloads, name, signal }) => {
    const { nonce } = await readJson(request, EvidenceRequestSchema)
    const guest = await workloads.get(name).guest()
    sendJson(response, 200, await guest.evidence(Buffer.from(nonce, 'hex'), signal))
  },
  'GET /v1/workloads/NAME/console': async ({ response, workloads, name }) => {
    const { vm } = await workloads.get(name).guest()
    sendJson(response, 200, { text: await vm.readSerial() })
  },
  'GET /v1/workloads/NAME/status': async ({ response, workloads, name, signal }) => {
    const guest = await workloads.get(name).guest()
    sendJson(response, 200, await guest.status(signal))
  },
}

/**
 * Answers one request, whatever it is.
 *
 * @throws CloisterError for the caller to send
 */
export async function handle(
  options: RoutesOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { route, name, query } = match(request)
  const handler = Object.hasOwn(ROUTES, route) ? ROUTES[route] : undefined
  if (handler === undefined)
    throw new CloisterError('request.malformed', {
      where: route.slice(0, 200),
      why: 'no such call',
    })
  await handler({ ...options, request, response, name, query, signal: departure(response) })
}

/** The route that a request asks for, with `NAME` in place of the workload's name. */
export function match(request: IncomingMessage): {
  route: string
  name: string
  query: URLSearchParams
} {
  const url = URL.parse(request.url ?? '/', 'http://hostd')
  if (url === null) throw new CloisterError('request.malformed', { why: 'the path cannot be read' })
  const [, name, rest = ''] = /^\/v1\/workloads\/([^/]+)(.*)$/.exec(url.pathname) ?? []
  const path = name === undefined ? url.pathname : `/v1/workloads/NAME${rest}`
  return { route: `${request.method} ${path}`, name: name ?? '', query: url.searchParams }
}

function info({ workloads, home, startedAt }: RoutesOptions): HostdInfo {
  const views = workloads.list().map(({ view }) => view)
  const ended = views.filter(({ state }) => isEnded(state)).length
  return {
    version: PRODUCT_VERSION,
    apiVersion: HOSTD_API_VERSION,
    pid: process.pid,
    startedAt,
    home,
    workloads: { live: views.length - ended, ended },
  }
}

/** Views of all workloads, or of the one in `?workload=`, then of those that change. */
async function* events({
  workloads,
  query,
  signal,
}: Pick<Exchange, 'workloads' | 'query' | 'signal'>): AsyncGenerator<string> {
  const wanted = query.get('workload')
  const names = new Map<string, string>()
  for await (const changed of workloads.changes.read(signal)) {
    const views = workloads.list().map(({ view }) => view)
    const ids = new Set(changed)
    for (const view of views) {
      if (wanted !== null && view.name !== wanted) continue
      if (names.has(view.id) && !ids.has(view.id)) continue
      names.set(view.id, view.name)
      yield eventLine({ type: 'workload', workload: view })
    }
    for (const id of ids) {
      const name = names.get(id)
      if (name === undefined || views.some((view) => view.id === id)) continue
      names.delete(id)
      yield eventLine({ type: 'removed', name, id })
    }
  }
}

function eventLine(event: HostdEvent): string {
  return `${JSON.stringify(event)}\n`
}
