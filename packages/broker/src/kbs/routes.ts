/**
 * The guests' side of the broker: KBS protocol 0.4.0 under /kbs/v0 (Request, Challenge, Attestation, Response), as the
 * clients of Confidential Containers speak it, and Trustee's calls to store and delete a resource.
 */
import { Hono, type Context } from 'hono'
import { CloisterError } from '@cloister/protocol/error'
import { encryptJwe } from '@cloister/protocol/jwe'
import { GUEST_REFUSAL_PATH, GuestRefusalSchema } from '@cloister/protocol/guest-refusal'
import {
  KBS_SESSION_COOKIE,
  KBS_VERSION,
  KbsAttestationSchema,
  KbsRequestSchema,
} from '@cloister/protocol/kbs'
import { LIMITS } from '@cloister/protocol/limits'
import {
  TPM_ENROLMENT_PATH,
  TpmCertificateRequestSchema,
  TpmChallengeRequestSchema,
} from '@cloister/protocol/tpm-enrolment'
import { ResourcePathSchema } from '@cloister/protocol/workload'
import type { AuthorizeAdmin } from '../admin/authorize.ts'
import { deleteSecret, storeSecret } from '../admin/secret-actions.ts'
import { isSupportedTee } from '../attestation/appraise-evidence.ts'
import type { AttestationResult } from '../attestation/attestation-result.ts'
import { parseJson } from '../http/body.ts'
import type { BrokerEnv } from '../http/app.ts'
import { networkOf } from '../http/network-of.ts'
import type { BrokerParts } from '../parts.ts'
import { certifyTpm, challengeTpm } from '../tpm/enrol.ts'
import { attest } from './attest.ts'
import { kbsAnswer, type KbsStep } from './errors.ts'
import { recordGuestRefusal } from './guest-refusal.ts'
import { release } from './release.ts'
import type { Requester } from './requester.ts'
import type { Session } from './sessions.ts'

type KbsContext = Context<BrokerEnv>

export function kbsRoutes(parts: BrokerParts, authorizeAdmin: AuthorizeAdmin): Hono<BrokerEnv> {
  const routes = new Hono<BrokerEnv>()

  /** Runs a step; a failure in it becomes that step's KBS error. */
  const step =
    (name: KbsStep, handler: (c: KbsContext) => Promise<Response>) =>
    async (c: KbsContext): Promise<Response> => {
      try {
        return await handler(c)
      } catch (thrown) {
        return refuse(c, thrown, name)
      }
    }
  const refuse = (c: KbsContext, thrown: unknown, name: KbsStep): Response => {
    const error = CloisterError.from(thrown)
    if (error.code === 'internal.bug' || error.code === 'broker.storage') parts.onBug(thrown)
    const { status, body } = kbsAnswer(error, name, c.get('requestId'))
    return Response.json(body, { status })
  }

  routes.post(
    '/auth',
    step('auth', async (c) => {
      parts.metrics.count('kbs_auth_requests_total')
      const request = await parse(c, parts, {
        schema: KbsRequestSchema,
        limit: parts.limits.authBytes,
      })
      if (request.version !== KBS_VERSION)
        throw new CloisterError('kbs.version', { expected: KBS_VERSION, received: request.version })
      if (!isSupportedTee(request.tee)) throw new CloisterError('attestation.tee-unsupported')
      const session = parts.sessions.open(request.tee, parts.now())
      return json({ nonce: session.nonce, 'extra-params': '' }, session)
    }),
  )

  routes.post(
    '/attest',
    step('attest', async (c) => {
      parts.metrics.count('kbs_attestation_requests_total')
      const id = sessionId(c)
      const attestation = await parse(c, parts, {
        schema: KbsAttestationSchema,
        limit: parts.limits.bodyBytes,
      })
      const session = id === undefined ? undefined : parts.sessions.claim(id, parts.now())
      if (session === undefined) throw new CloisterError('kbs.session')
      const token = session.token ?? (await attest(parts, session, attestation, requester(c)))
      return json({ token }, session)
    }),
  )

  routes.post(
    TPM_ENROLMENT_PATH.challenge,
    step('enrolment', async (c) => {
      const request = await parse(c, parts, {
        schema: TpmChallengeRequestSchema,
        limit: parts.limits.enrolmentBytes,
      })
      return json(await challengeTpm(parts, request, requester(c)))
    }),
  )
  routes.post(
    TPM_ENROLMENT_PATH.certificate,
    step('enrolment', async (c) => {
      const request = await parse(c, parts, {
        schema: TpmCertificateRequestSchema,
        limit: parts.limits.enrolmentBytes,
      })
      return json(certifyTpm(parts, request, requester(c)))
    }),
  )

  routes.get(
    '/resource/:path{.+}',
    step('resource', async (c) => {
      const attestation = attested(c, parts)
      const path = c.req.param('path') ?? ''
      const value = await release(parts, path, attestation, requester(c))
      try {
        return json(encryptJwe(value, attestation.runtimeData['tee-pubkey']))
      } finally {
        value.fill(0)
      }
    }),
  )

  routes.post(
    GUEST_REFUSAL_PATH,
    step('refusal', async (c) => {
      const refusal = await parse(c, parts, {
        schema: GuestRefusalSchema,
        limit: parts.limits.refusalBytes,
      })
      const session = parts.sessions.find(sessionId(c), parts.now())
      recordGuestRefusal(parts, session, refusal, c.get('requestId'))
      return new Response(null, { status: 204 })
    }),
  )

  routes.on(
    ['POST', 'DELETE'],
    '/resource/:path{.+}',
    step('admin', async (c) => {
      await authorizeAdmin(c.req.header('authorization'), parts.now())
      const path = c.req.param('path') ?? ''
      if (!ResourcePathSchema.safeParse(path).success) throw new CloisterError('kbs.path')
      const requestId = c.get('requestId')
      if (c.req.method === 'DELETE') deleteSecret(parts, requestId, path)
      else {
        const value = await parts.bodies.read(c.env.incoming, LIMITS.resourceBytes)
        storeSecret(parts, requestId, { path, value, allowSimulated: false })
      }
      return new Response('', { headers: { 'content-type': 'text/xml' } })
    }),
  )

  routes.all('*', (c) => {
    const [, , , plugin = ''] = c.req.path.split('/')
    const known = ['auth', 'attest', 'resource', 'tpm-enrolment', 'guest-refusals'].includes(plugin)
    return refuse(c, new CloisterError(known ? 'kbs.path' : 'kbs.plugin'), 'resource')
  })
  return routes
}

function requester(c: KbsContext): Requester {
  return {
    requestId: c.get('requestId'),
    address: networkOf(c.env.incoming.socket.remoteAddress ?? ''),
  }
}

interface Message<Value> {
  readonly schema: {
    safeParse(value: unknown): { success: true; data: Value } | { success: false }
  }
  /** Bytes of the body. */
  readonly limit: number
}

async function parse<Value>(
  c: KbsContext,
  { bodies }: BrokerParts,
  { schema, limit }: Message<Value>,
): Promise<Value> {
  const parsed = schema.safeParse(parseJson(await bodies.read(c.env.incoming, limit)))
  if (!parsed.success) throw new CloisterError('request.malformed')
  return parsed.data
}

/** What the session's token says, else the bearer token (Trustee looks in this order). */
function attested(c: KbsContext, { sessions, tokens, now }: BrokerParts): AttestationResult {
  const token =
    sessions.find(sessionId(c), now())?.token ??
    /^Bearer (\S+)$/i.exec(c.req.header('authorization') ?? '')?.[1]
  if (token === undefined) throw new CloisterError('kbs.token-absent')
  const result = tokens.read(token, now())
  if (result === undefined) throw new CloisterError('kbs.token')
  return result
}

function sessionId(c: KbsContext): string | undefined {
  for (const pair of (c.req.header('cookie') ?? '').split(';')) {
    const [name, value] = pair.trim().split('=', 2)
    if (name === KBS_SESSION_COOKIE && value !== undefined) return value
  }
  return undefined
}

/** @param session - absent: sets no cookie */
function json(value: object, session?: Session): Response {
  if (session === undefined) return Response.json(value)
  const expires = new Date(session.expiresAt).toUTCString()
  const cookie = `${KBS_SESSION_COOKIE}=${session.id}; Expires=${expires}; Path=/kbs/v0; HttpOnly; Secure`
  return Response.json(value, { headers: { 'set-cookie': cookie } })
}
