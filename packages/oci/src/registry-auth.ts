/** Authorization at a registry: Basic, or a bearer token from the realm that the registry names (distribution token specification). */
import { z } from 'zod'
import { CloisterError } from '@cloister/protocol/error'
import { boundedBody, discardBody, type HttpTransport } from './http-message.ts'
import type { Credentials } from './registry-credentials.ts'

export interface Challenge {
  readonly scheme: string
  readonly parameters: Readonly<Record<string, string>>
}

const TokenSchema = z.object({
  token: z
    .string()
    .max(64 * 1024)
    .optional(),
  access_token: z
    .string()
    .max(64 * 1024)
    .optional(),
})
const TOKEN_BODY_LIMIT = 256 * 1024

/** The first Bearer or Basic challenge of a `WWW-Authenticate` header. */
export function parseChallenge(header: string): Challenge | undefined {
  const scheme = /(?:^|,\s*)(bearer|basic)\b/i.exec(header)
  if (scheme === null) return undefined
  const parameters: Record<string, string> = {}
  const rest = header.slice(scheme.index + scheme[0].length)
  for (const [, name, quoted, bare] of rest.matchAll(/([\w-]+)=(?:"([^"]*)"|([^\s,"]+))/g))
    parameters[name!.toLowerCase()] ??= quoted ?? bare ?? ''
  return { scheme: scheme[1]!.toLowerCase(), parameters }
}

function basicAuthorization({ user, password }: Credentials): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}

/**
 * The `Authorization` value that answers a challenge; absent: there is nothing to answer with. Credentials travel over https only, and
 * to another host only when it is the token realm that the registry (which they are for) names.
 */
export async function answerChallenge(
  challenge: Challenge,
  options: {
    transport: HttpTransport
    registry: URL
    scope: string
    credentials?: Credentials | undefined
    signal?: AbortSignal | undefined
  },
): Promise<string | undefined> {
  const { registry, credentials } = options
  if (challenge.scheme === 'basic')
    return credentials !== undefined && registry.protocol === 'https:'
      ? basicAuthorization(credentials)
      : undefined
  const realm = tokenRealm(challenge, registry)
  realm.searchParams.set('scope', options.scope)
  if (challenge.parameters['service'] !== undefined)
    realm.searchParams.set('service', challenge.parameters['service'])
  const isConfidential = realm.protocol === 'https:'
  const response = await options.transport({
    method: 'GET',
    url: realm,
    headers:
      credentials !== undefined && isConfidential
        ? { authorization: basicAuthorization(credentials) }
        : {},
    signal: options.signal,
  })
  if (response.status !== 200) {
    await discardBody(response)
    return undefined
  }
  return bearer(await boundedBody(response, TOKEN_BODY_LIMIT), realm)
}

/** The realm may be http only when the registry is. */
function tokenRealm(challenge: Challenge, registry: URL): URL {
  const text = challenge.parameters['realm'] ?? ''
  const realm = URL.canParse(text) ? new URL(text) : undefined
  const isPermitted =
    realm?.protocol === 'https:' || (realm?.protocol === 'http:' && registry.protocol === 'http:')
  if (realm === undefined || !isPermitted)
    throw new CloisterError('registry.failed', {
      where: registry.host,
      why: 'it names a token realm that is not an https address',
    })
  return realm
}

function bearer(body: Uint8Array | undefined, realm: URL): string {
  try {
    const parsed = TokenSchema.parse(JSON.parse(Buffer.from(body ?? []).toString('utf8')))
    const token = parsed.token ?? parsed.access_token ?? ''
    if (/^[\x21-\x7e]+$/.test(token)) return `Bearer ${token}`
  } catch {
    // Told below; the parser's message could quote a token.
  }
  throw new CloisterError('registry.failed', {
    where: realm.host,
    why: 'its token service did not answer with a token',
  })
}
