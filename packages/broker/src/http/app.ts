/** The broker's whole HTTP surface: rate bounds and request ids before everything, then the two sides. */
import { randomBytes } from 'node:crypto'
import type { HttpBindings } from '@hono/node-server'
import { Hono } from 'hono'
import { ADMIN_PATH } from '@cloister/protocol/broker-admin-api'
import { CloisterError } from '@cloister/protocol/error'
import { KBS_PATH } from '@cloister/protocol/kbs'
import type { AuthorizeAdmin } from '../admin/authorize.ts'
import { adminRoutes, type BrokerFacts } from '../admin/routes.ts'
import { kbsRoutes } from '../kbs/routes.ts'
import type { BrokerParts } from '../parts.ts'
import { networkOf } from './network-of.ts'
import { RateLimit } from './rate-limit.ts'

export interface BrokerEnv {
  Bindings: HttpBindings
  Variables: {
    /** 32 hex digits; stands in refusals and in the audit. */
    requestId: string
  }
}

export interface AppOptions {
  readonly authorizeAdmin: AuthorizeAdmin
  readonly facts: () => BrokerFacts
}

export function brokerApp(
  parts: BrokerParts,
  { authorizeAdmin, facts }: AppOptions,
): Hono<BrokerEnv> {
  const app = new Hono<BrokerEnv>()
  const rate = new RateLimit(parts.limits)

  app.use(async (c, next) => {
    c.set('requestId', randomBytes(16).toString('hex'))
    const address = networkOf(c.env.incoming.socket.remoteAddress ?? '')
    // Guests that share the owner's address, as on one machine, must not keep the owner from withdrawing something.
    const side = c.req.path.startsWith(ADMIN_PATH) ? 'owner' : 'guests'
    if (!rate.take(`${side} ${address}`, parts.now())) throw new CloisterError('broker.busy')
    await next()
    parts.metrics.countResponse(c.res.status)
  })
  app.onError((thrown, c) => {
    const error = CloisterError.from(thrown)
    if (error.code === 'internal.bug' || error.code === 'broker.storage') parts.onBug(thrown)
    const object = { ...error.toJSON(), requestId: c.get('requestId') }
    return Response.json(object, {
      status: object.status,
      headers: { 'content-type': 'application/problem+json' },
    })
  })
  app.notFound(() => {
    throw new CloisterError('kbs.path')
  })

  app.get('/healthz', (c) => c.body(null, 200))
  app.get('/metrics', (c) => c.text(parts.metrics.text()))
  app.route(KBS_PATH, kbsRoutes(parts, authorizeAdmin))
  app.route(ADMIN_PATH, adminRoutes(parts, authorizeAdmin, facts))
  return app
}
