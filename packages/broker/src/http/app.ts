/**
 * The broker's whole HTTP surface: rate bounds and request ids before everything, then the two sides. The guests' is served from Node's own server, the
 * owner's by Hono.
 */
import type { IncomingMessage, RequestListener } from 'node:http'
import { getRequestListener, type HttpBindings } from '@hono/node-server'
import { Hono } from 'hono'
import { ADMIN_PATH } from '@cloister/protocol/broker-admin-api'
import { CloisterError } from '@cloister/protocol/error'
import { KBS_PATH } from '@cloister/protocol/kbs'
import type { AuthorizeAdmin } from '../admin/authorize.ts'
import { adminRoutes, type BrokerFacts } from '../admin/routes.ts'
import { kbsListener } from '../kbs/routes.ts'
import type { BrokerParts } from '../parts.ts'
import { newRequestId } from '../request-id.ts'
import { json, send } from './answer.ts'
import { failureOf } from './failure.ts'
import { networkOf } from './network-of.ts'
import { RateLimit } from './rate-limit.ts'

export interface BrokerEnv {
  Bindings: HttpBindings
  Variables: {
    /** 32 hex digits; stands in refusals and in the audit. */
    requestId: string
  }
}

export interface ListenerOptions {
  readonly authorizeAdmin: AuthorizeAdmin
  readonly facts: () => BrokerFacts
}

export function brokerListener(parts: BrokerParts, options: ListenerOptions): RequestListener {
  // Guests that share the owner's address, as on one machine, must not keep the owner from withdrawing something.
  const rates = { owner: new RateLimit(parts.limits), guests: new RateLimit(parts.limits) }
  const guests = kbsListener(parts, options.authorizeAdmin)
  const owner = getRequestListener(ownerApp(parts, options).fetch)
  return (incoming, outgoing) => {
    const path = pathOf(incoming)
    const address = networkOf(incoming.socket.remoteAddress ?? '')
    const rate = path.startsWith(ADMIN_PATH) ? rates.owner : rates.guests
    if (!rate.take(address, parts.now())) {
      const { status, object } = problem(new CloisterError('broker.busy'), newRequestId())
      send(outgoing, json(object, status, PROBLEM_TYPE))
    } else if (path === KBS_PATH || path.startsWith(`${KBS_PATH}/`))
      void guests(incoming, outgoing, {
        path: path.slice(KBS_PATH.length),
        requestId: newRequestId(),
        address,
      })
    else void owner(incoming, outgoing)
  }
}

/** What is not under the guests' path. */
function ownerApp(parts: BrokerParts, { authorizeAdmin, facts }: ListenerOptions): Hono<BrokerEnv> {
  const app = new Hono<BrokerEnv>()
  app.use(async (c, next) => {
    c.set('requestId', newRequestId())
    await next()
    parts.metrics.countResponse(c.res.status)
  })
  app.onError((thrown, c) => {
    const { status, object } = problem(failureOf(thrown, parts), c.get('requestId'))
    return Response.json(object, { status, headers: { 'content-type': PROBLEM_TYPE } })
  })
  app.notFound(() => {
    throw new CloisterError('kbs.path')
  })
  app.get('/healthz', (c) => c.body(null, 200))
  app.get('/metrics', (c) => c.text(parts.metrics.text()))
  app.route(ADMIN_PATH, adminRoutes(parts, authorizeAdmin, facts))
  return app
}

const PROBLEM_TYPE = 'application/problem+json'

function problem(error: CloisterError, requestId: string) {
  const object = { ...error.toJSON(), requestId }
  return { status: object.status, object }
}

/** Without the query. A request may name the whole address (RFC 9112, 3.2.2). */
function pathOf({ url = '' }: IncomingMessage): string {
  const start = url.startsWith('/') ? 0 : url.indexOf('/', url.indexOf('://') + 3)
  const end = url.indexOf('?')
  return url.slice(Math.max(start, 0), end < 0 ? undefined : end)
}
