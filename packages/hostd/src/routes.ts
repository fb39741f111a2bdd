/** hostd's REST calls: which method and path does what. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { CloisterError } from '@cloister/protocol/error'
import {
  EvidenceRequestSchema,
  HOSTD_API_VERSION,
  MoveTargetSchema,
  StartRequestSchema,
  StopRequestSchema,
  isEnded,
  type HostdInfo,
} from '@cloister/protocol/hostd-api'
import type { HostdEvent } from '@cloister/protocol/hostd-events'
import { isAtRest, QuotaSchema } from '@cloister/protocol/hostd-vm-api'
import type { Guest } from './guest.ts'
import { departure, readJson, sendJson, sendLines } from './http-exchange.ts'
import { MACHINE_ROUTES } from './machines/machine-routes.ts'
import { metricsText } from './metrics.ts'
import { PRODUCT_VERSION } from '@cloister/protocol/product-version'
import { detailOf } from './record.ts'
import { match, type Exchange, type Handler, type RoutesOptions, type Upgrade } from './route.ts'

/** `NAME` and `ITEM` stand for one segment of the path each. */
const ROUTES: Readonly<Record<string, Handler>> = {
  'GET /v1/info': (exchange) => sendJson(exchange.response, 200, info(exchange)),
  'GET /v1/metrics': ({ response, workloads, machines }) => {
    response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' })
    const states = (all: readonly { view: { state: string } }[]) =>
      all.map(({ view }) => view.state)
    response.end(metricsText(states(workloads.list()), states(machines.list())))
  },
  'GET /v1/quota': ({ response, ledger }) => sendJson(response, 200, ledger.quota()),
  'PUT /v1/quota': async ({ request, response, ledger, quota }) => {
    await quota.set(await readJson(request, QuotaSchema))
    sendJson(response, 200, ledger.quota())
  },
  'POST /v1/shutdown': ({ response, shutdown }) => {
    response.once('finish', shutdown)
    sendJson(response, 202, {})
  },
  'POST /v1/targets/move': async ({ request, response, workloads, machines }) => {
    const move = await readJson(request, MoveTargetSchema)
    const followed: string[] = []
    for (const guest of [...workloads.list(), ...machines.list()])
      if (await guest.followMove(move)) followed.push(guest.view.name)
    sendJson(response, 200, { followed })
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
  ...MACHINE_ROUTES,
}

/** Calls with `Upgrade: cloister-stream`: raw bytes from then on. */
export const UPGRADES: Readonly<Record<string, Upgrade>> = {
  'POST /v1/workloads/NAME/connect': async ({ workloads, name, signal }) => {
    const guest = await workloads.get(name).guest()
    return channelOf(guest, signal)
  },
  'POST /v1/vms/NAME/connect': async ({ machines, name, signal }) =>
    channelOf(machines.get(name).guest(), signal),
  'POST /v1/vms/NAME/console': async ({ machines, name, query }) => {
    const console = machines.get(name).console()
    const isViewer = query.get('view') === 'true'
    if (!isViewer && console.isTaken) throw new CloisterError('vm.console-taken')
    return (stream) => console.attach(stream, { isViewer })
  },
}

async function channelOf(guest: Guest, signal: AbortSignal): Promise<(stream: Duplex) => void> {
  const channel = await guest.connectChannel(signal)
  const { join } = await import('./carriers.ts')
  return (stream) => join(stream, channel)
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
  const found = match(request)
  const { route } = found
  const handler = Object.hasOwn(ROUTES, route) ? ROUTES[route] : undefined
  if (handler === undefined)
    throw new CloisterError('request.malformed', {
      where: route.slice(0, 200),
      why: 'no such call',
    })
  await handler({ ...options, ...found, request, response, signal: departure(response) })
}

function info({ workloads, machines, home, startedAt }: RoutesOptions): HostdInfo {
  const views = workloads.list().map(({ view }) => view)
  const ended = views.filter(({ state }) => isEnded(state)).length
  const vms = machines.list().map(({ view }) => view)
  const atRest = vms.filter(({ state }) => isAtRest(state)).length
  return {
    version: PRODUCT_VERSION,
    apiVersion: HOSTD_API_VERSION,
    pid: process.pid,
    startedAt,
    home,
    workloads: { live: views.length - ended, ended },
    vms: { live: vms.length - atRest, atRest },
  }
}

/** Views of all workloads and machines, or of the one in `?workload=` or `?vm=`, then of those that change. */
async function* events({
  workloads,
  machines,
  changes,
  query,
  signal,
}: Omit<Exchange, 'response'>): AsyncGenerator<string> {
  const current = (): { view: { id: string; name: string }; event: HostdEvent }[] => [
    ...(query.has('vm') ? [] : workloads.list()).map(({ view }) => {
      return { view, event: { type: 'workload' as const, workload: view } }
    }),
    ...(query.has('workload') ? [] : machines.list()).map(({ view }) => {
      return { view, event: { type: 'vm' as const, vm: view } }
    }),
  ]
  const wanted = query.get('workload') ?? query.get('vm')
  const names = new Map<string, string>()
  for await (const changed of changes.read(signal)) {
    const all = current()
    const ids = new Set(changed)
    for (const { view, event } of all) {
      if (wanted !== null && view.name !== wanted) continue
      if (names.has(view.id) && !ids.has(view.id)) continue
      names.set(view.id, view.name)
      yield eventLine(event)
    }
    for (const id of ids) {
      const name = names.get(id)
      if (name === undefined || all.some(({ view }) => view.id === id)) continue
      names.delete(id)
      yield eventLine({ type: 'removed', name, id })
    }
  }
}

function eventLine(event: HostdEvent): string {
  return `${JSON.stringify(event)}\n`
}
