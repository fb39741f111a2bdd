/**
 * The guests' side of the broker: KBS protocol 0.4.0 under /kbs/v0 (Request, Challenge, Attestation, Response), as the
 * clients of Confidential Containers speak it, and Trustee's calls to store and delete a resource.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { CloisterError } from '@cloister/protocol/error'
import { encryptJwe } from '@cloister/protocol/jwe'
import { GUEST_REFUSAL_PATH, GuestRefusalSchema } from '@cloister/protocol/guest-refusal'
import { KBS_SESSION_COOKIE, KBS_VERSION } from '@cloister/protocol/kbs'
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
import { json, send, type Answer } from '../http/answer.ts'
import { failureOf } from '../http/failure.ts'
import type { BrokerParts } from '../parts.ts'
import { certifyTpm, challengeTpm } from '../tpm/enrol.ts'
import { attest } from './attest.ts'
import { kbsAnswer, type KbsStep } from './errors.ts'
import { recordGuestRefusal } from './guest-refusal.ts'
import { readKbsAttestation, readKbsRequest, type ReadMessage } from './read-message.ts'
import { release } from './release.ts'
import type { Requester } from './requester.ts'
import type { Session } from './sessions.ts'

/** A request of the guests' side, beside what Node has of it. */
interface Asked extends Requester {
  /** Under /kbs/v0, without the query; still percent-encoded. */
  readonly path: string
}

interface Call extends Asked {
  readonly incoming: IncomingMessage
  readonly parts: BrokerParts
}

/** A failure in it becomes the KBS error of its step. */
interface Route {
  readonly step: KbsStep
  readonly serve: (call: Call) => Promise<Answer>
}

type KbsListener = (
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  asked: Asked,
) => Promise<void>

/** Straight from Node's server: a guest's handshake is three small requests, and needs nothing of a framework. */
export function kbsListener(parts: BrokerParts, authorizeAdmin: AuthorizeAdmin): KbsListener {
  const changeResource: Route = {
    step: 'admin',
    serve: async (call) => {
      await authorizeAdmin(call.incoming.headers.authorization, parts.now())
      return writeResource(call)
    },
  }
  const find = (method: string | undefined, path: string): Route => {
    const route = ROUTES.get(`${method} ${path}`)
    if (route !== undefined) return route
    if (!path.startsWith(RESOURCE) || path === RESOURCE) return UNSERVED
    if (method === 'GET') return READ_RESOURCE
    return method === 'POST' || method === 'DELETE' ? changeResource : UNSERVED
  }
  return async (incoming, outgoing, asked) => {
    const { step, serve } = find(incoming.method, asked.path)
    let answer: Answer
    try {
      answer = await serve({ ...asked, incoming, parts })
    } catch (thrown) {
      answer = refused(parts, thrown, { step, requestId: asked.requestId })
    }
    send(outgoing, answer)
    parts.metrics.countResponse(answer.status)
  }
}

function refused(
  parts: BrokerParts,
  thrown: unknown,
  { step, requestId }: { readonly step: KbsStep; readonly requestId: string },
): Answer {
  const { status, body } = kbsAnswer(failureOf(thrown, parts), step, requestId)
  return json(body, status)
}

const RESOURCE = '/resource/'
const ROUTES: ReadonlyMap<string, Route> = new Map<string, Route>([
  ['POST /auth', { step: 'auth', serve: challenge }],
  ['POST /attest', { step: 'attest', serve: attestation }],
  [`POST ${TPM_ENROLMENT_PATH.challenge}`, { step: 'enrolment', serve: tpmChallenge }],
  [`POST ${TPM_ENROLMENT_PATH.certificate}`, { step: 'enrolment', serve: tpmCertificate }],
  [`POST ${GUEST_REFUSAL_PATH}`, { step: 'refusal', serve: guestRefusal }],
])

/** First words of the paths that are served. */
const PLUGINS = new Set([RESOURCE, ...ROUTES.keys()].map((path) => path.split('/', 2)[1]))

const READ_RESOURCE: Route = { step: 'resource', serve: resource }
const UNSERVED: Route = { step: 'resource', serve: unserved }

async function challenge(call: Call): Promise<Answer> {
  const { metrics, limits, sessions, now } = call.parts
  metrics.count('kbs_auth_requests_total')
  const request = await parse(call, { read: readKbsRequest, limit: limits.authBytes })
  if (request.version !== KBS_VERSION)
    throw new CloisterError('kbs.version', { expected: KBS_VERSION, received: request.version })
  if (!isSupportedTee(request.tee)) throw new CloisterError('attestation.tee-unsupported')
  const session = sessions.open(request.tee, now())
  return { ...json({ nonce: session.nonce, 'extra-params': '' }), cookie: cookieOf(session) }
}

async function attestation(call: Call): Promise<Answer> {
  const { metrics, limits, sessions, now } = call.parts
  metrics.count('kbs_attestation_requests_total')
  const id = sessionId(call.incoming)
  const message = await parse(call, { read: readKbsAttestation, limit: limits.bodyBytes })
  const session = id === undefined ? undefined : sessions.claim(id, now())
  if (session === undefined) throw new CloisterError('kbs.session')
  const token =
    'token' in session ? session.token : await attest(call.parts, session, message, call)
  // Base64url and dots: nothing in it needs an escape.
  const content = { type: 'application/json', text: `{"token":"${token}"}` }
  return { status: 200, content, cookie: cookieOf(session) }
}

async function resource(call: Call): Promise<Answer> {
  const { parts, incoming, path } = call
  const attested = attestedBy(incoming, parts)
  const value = await release(parts, resourcePath(path), attested, call)
  try {
    return json(encryptJwe(value, attested.runtimeData['tee-pubkey']))
  } finally {
    value.fill(0)
  }
}

async function writeResource(call: Call): Promise<Answer> {
  const { parts, incoming, requestId } = call
  const path = resourcePath(call.path)
  if (!ResourcePathSchema.safeParse(path).success) throw new CloisterError('kbs.path')
  if (incoming.method === 'DELETE') deleteSecret(parts, requestId, path)
  else {
    const value = await parts.bodies.read(incoming, LIMITS.resourceBytes)
    storeSecret(parts, requestId, { path, value, allowSimulated: false })
  }
  return { status: 200, content: { type: 'text/xml', text: '' } }
}

async function tpmChallenge(call: Call): Promise<Answer> {
  const limit = call.parts.limits.enrolmentBytes
  const request = await parse(call, { read: readChallengeRequest, limit })
  return json(await challengeTpm(call.parts, request, call))
}

async function tpmCertificate(call: Call): Promise<Answer> {
  const limit = call.parts.limits.enrolmentBytes
  const request = await parse(call, { read: readCertificateRequest, limit })
  return json(certifyTpm(call.parts, request, call))
}

async function guestRefusal(call: Call): Promise<Answer> {
  const { parts, incoming, requestId } = call
  const limit = parts.limits.refusalBytes
  const told = await parse(call, { read: readGuestRefusal, limit })
  const session = parts.sessions.find(sessionId(incoming), parts.now())
  recordGuestRefusal(parts, session, told, requestId)
  return { status: 204 }
}

async function unserved({ path }: Call): Promise<never> {
  const [, plugin = ''] = path.split('/', 2)
  throw new CloisterError(PLUGINS.has(plugin) ? 'kbs.path' : 'kbs.plugin')
}

/** What is not percent-encoded as it must be stands for itself. */
function resourcePath(path: string): string {
  const encoded = path.slice(RESOURCE.length)
  try {
    return decodeURIComponent(encoded)
  } catch {
    return encoded
  }
}

interface Message<Value> {
  readonly read: ReadMessage<Value>
  /** Bytes of the body. */
  readonly limit: number
}

async function parse<Value>(
  { incoming, parts }: Call,
  { read, limit }: Message<Value>,
): Promise<Value> {
  const message = read(parseJson(await parts.bodies.read(incoming, limit)))
  if (message === undefined) throw new CloisterError('request.malformed')
  return message
}

const readChallengeRequest = readerOf(TpmChallengeRequestSchema)
const readCertificateRequest = readerOf(TpmCertificateRequestSchema)
const readGuestRefusal = readerOf(GuestRefusalSchema)

function readerOf<Value>(schema: {
  safeParse(message: unknown): { success: true; data: Value } | { success: false }
}): ReadMessage<Value> {
  return (message) => {
    const parsed = schema.safeParse(message)
    return parsed.success ? parsed.data : undefined
  }
}

/** What the session's token says, else the bearer token (Trustee looks in this order). */
function attestedBy(
  incoming: IncomingMessage,
  { sessions, tokens, now }: BrokerParts,
): AttestationResult {
  const token =
    sessions.find(sessionId(incoming), now())?.token ??
    bearerToken(incoming.headers.authorization ?? '')
  if (token === undefined) throw new CloisterError('kbs.token-absent')
  const result = tokens.read(token, now())
  if (result === undefined) throw new CloisterError('kbs.token')
  return result
}

const BEARER = 'bearer '

/** What follows the scheme, in whatever case (RFC 9110, 11.1). Not a pattern over the whole: tokens are long. */
function bearerToken(authorization: string): string | undefined {
  const scheme = authorization.slice(0, BEARER.length)
  const token = authorization.slice(BEARER.length)
  return scheme.toLowerCase() === BEARER && token !== '' ? token : undefined
}

function sessionId({ headers }: IncomingMessage): string | undefined {
  if (headers.cookie === undefined) return undefined
  for (const pair of headers.cookie.split(';')) {
    const [name, value] = pair.trim().split('=', 2)
    if (name === KBS_SESSION_COOKIE && value !== undefined) return value
  }
  return undefined
}

function cookieOf({ id, expiresAt }: Session): string {
  const expires = new Date(expiresAt).toUTCString()
  return `${KBS_SESSION_COOKIE}=${id}; Expires=${expires}; Path=/kbs/v0; HttpOnly; Secure`
}
