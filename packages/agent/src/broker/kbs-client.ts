/**
 * Client of a key broker (KBS protocol 0.4.0): the RCAR handshake (request, challenge, attestation, response), then resources by
 * bearer token or session. One handshake serves until its token ends; whoever needs the token meanwhile shares it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { CloisterError } from '@cloister/protocol/error'
import { GUEST_REFUSAL_PATH, type GuestRefusal } from '@cloister/protocol/guest-refusal'
import { decryptJwe } from '@cloister/protocol/jwe'
import {
  KBS_PATH,
  KBS_SESSION_COOKIE,
  KBS_VERSION,
  KbsChallengeSchema,
  KbsErrorSchema,
  KbsTokenSchema,
  readKbsError,
} from '@cloister/protocol/kbs'
import { LIMITS } from '@cloister/protocol/limits'
import { primaryReportData, type RuntimeDataHash } from '@cloister/protocol/report-data'
import { ResourcePathSchema } from '@cloister/protocol/workload'
import type { Attester } from '../attesters/attester.ts'
import { teePublicKey, type GuestKey } from '../keys.ts'
import type { HttpAnswer, HttpExchange } from './http-exchange.ts'

export interface KbsClientOptions {
  /** As in initdata; its path is a prefix, its host the Host header. */
  readonly url: string
  readonly exchange: HttpExchange
  readonly attester: Attester
  readonly key: GuestKey
  /** The initdata document; absent where nothing was bound to the guest at launch. */
  readonly initdata?: string
  /** Milliseconds since 1970, by the corrected clock. */
  readonly now: () => number
  /** How long the broker may take for one answer, milliseconds. Absent: a minute, and 20 s for a challenge. */
  readonly answerMs?: number
  /** What must be done at the broker before evidence can be made; gets the URL's path and host. */
  readonly prepare?: (broker: BrokerAddress, signal: AbortSignal) => Promise<void>
  /** Told that the broker has refused the evidence: what was prepared may be worth nothing there any more. */
  readonly onRefused?: () => void
  /** Told the `Date` of each first answer of a handshake, before anything depends on time. */
  readonly onDate?: (date: string | undefined) => Promise<void>
  /** Told when the broker has challenged us and evidence is made. */
  readonly onAttest?: () => void
}

export interface BrokerAddress {
  readonly exchange: HttpExchange
  /** Of the KBS protocol, without a slash at its end. */
  readonly path: string
  readonly host: string
}

export interface BrokerToken {
  /** The EAR, a JWT. Not checked by us: it is the broker's own, over the pinned channel. */
  readonly token: string
  /** Milliseconds since 1970. */
  readonly expiresAt: number
  /** The session that the token was made in, `name=value`. */
  readonly cookie: string
}

const ANSWER_MS = 60_000
/** A nonce is made at once; under emulation and load the connection to ask for it takes some seconds. */
const CHALLENGE_MS = 20_000
/** Tries of a handshake or a resource, and the pause before the next. */
const TRIES = 10
const RETRY_MS = 1000
/** Of those, how many may be left without an answer: with {@link CHALLENGE_MS} the guest says so before the host gives up on it (hostd's `STAGE_DEADLINES`). */
const SILENCES = 3
const SILENT = 'it takes connections and does not answer in time'
/** A token that ends within this time is as good as ended. */
const MARGIN_MS = 10_000
/** Brokers bound the head of a request, to 64 KiB or more. The token carries the initdata, a policy in Rego with it. */
const LONGEST_BEARER = 32 << 10
const SUPPORTED_HASHES = ['sha384', 'sha512'] as const

export class KbsClient {
  readonly #options: KbsClientOptions
  readonly #base: string
  readonly #host: string
  #token: BrokerToken | undefined
  #handshake: Promise<BrokerToken> | undefined
  #attestations = 0
  #requestId = ''

  constructor(options: KbsClientOptions) {
    this.#options = options
    const url = new URL(options.url)
    this.#base = `${url.pathname.replace(/\/+$/, '')}${KBS_PATH}`
    this.#host = url.host
  }

  /** Handshakes that the broker has answered with a token. */
  get attestations(): number {
    return this.#attestations
  }

  /** The latest token, current or not. */
  get token(): BrokerToken | undefined {
    return this.#token
  }

  /** Id of the latest refusal; empty when there was none. */
  get requestId(): string {
    return this.#requestId
  }

  /**
   * A token that is current; makes one when there is none.
   *
   * @throws CloisterError `agent.broker-*`, `agent.attestation-refused`, `agent.report-failed`
   */
  async attest(signal: AbortSignal): Promise<BrokerToken> {
    if (this.#token !== undefined && this.#token.expiresAt - MARGIN_MS > this.#options.now())
      return this.#token
    return this.renew(signal)
  }

  /** A new token over a new nonce. */
  async renew(signal: AbortSignal): Promise<BrokerToken> {
    this.#handshake ??= withRetries(() => this.#attestOnce(signal), signal).finally(
      () => (this.#handshake = undefined),
    )
    return this.#handshake
  }

  /**
   * A resource in clear.
   *
   * @param path - `repository/type/tag`
   * @throws CloisterError `agent.resource-refused`, `jwe.malformed`, and what {@link attest} throws
   */
  async getResource(path: string, signal: AbortSignal): Promise<Buffer> {
    if (!ResourcePathSchema.safeParse(path).success)
      throw new CloisterError('agent.resource-refused', { where: path.slice(0, 200) })
    const token = await this.attest(signal)
    const answer = await withRetries(() => this.#askResource(path, token, signal), signal)
    const resource = decryptJwe(parseJson(answer.body), this.#options.key.privateKey)
    if (resource.length > LIMITS.resourceBytes)
      throw new CloisterError('agent.resource-malformed', { where: path })
    return resource
  }

  /**
   * Tells the owner of a refusal of this guest's own, with the session for proof: the host knows the token.
   *
   * @returns whether the broker has taken it; false before the first handshake
   */
  async tellRefusal(refusal: GuestRefusal, signal: AbortSignal): Promise<boolean> {
    if (this.#token === undefined) return false
    const { cookie } = await this.attest(signal)
    const body = JSON.stringify(refusal)
    const answer = await this.#ask('POST', GUEST_REFUSAL_PATH, signal, { cookie }, body)
    return answer.status === 204
  }

  async #askResource(path: string, current: BrokerToken, signal: AbortSignal): Promise<HttpAnswer> {
    const ask = (token: BrokerToken) =>
      this.#ask('GET', `/resource/${path}`, signal, proofOfAttestation(token))
    let answer = await ask(current)
    // A broker that has changed its signer does not know its own token any more.
    if (answer.status === 401 && isTokenError(answer)) answer = await ask(await this.renew(signal))
    if (answer.status !== 200) throw this.#refusal('agent.resource-refused', answer, path)
    return answer
  }

  async #attestOnce(signal: AbortSignal): Promise<BrokerToken> {
    const { attester, key, initdata, exchange, prepare, onRefused, onAttest } = this.#options
    await prepare?.({ exchange, path: this.#base, host: this.#host }, signal)
    const { nonce, hash, cookie } = await this.#challenge(signal)
    onAttest?.()
    const publicKey = teePublicKey(key)
    const evidence = await attester.attest(
      primaryReportData({ nonce, teePublicKey: publicKey }, '', hash),
    )
    const members = [
      `"init-data":${initdata === undefined ? 'null' : JSON.stringify({ format: 'toml', body: initdata })}`,
      `"runtime-data":${JSON.stringify({ nonce, 'tee-pubkey': publicKey })}`,
      `"tee-evidence":{"primary_evidence":${evidence.json},"additional_evidence":""}`,
    ]
    const body = `{${members.join(',')}}`
    const answer = await this.#ask('POST', '/attest', signal, { cookie }, body)
    if (answer.status === 401) onRefused?.()
    if (answer.status !== 200) throw this.#refusal('agent.attestation-refused', answer)
    const parsed = KbsTokenSchema.safeParse(parseJson(answer.body))
    if (!parsed.success) throw malformed('the answer of /attest holds no token')
    const { token } = parsed.data
    this.#token = { token, expiresAt: expiryOf(token), cookie }
    this.#attestations++
    return this.#token
  }

  async #challenge(
    signal: AbortSignal,
  ): Promise<{ nonce: string; hash: RuntimeDataHash; cookie: string }> {
    const request = {
      version: KBS_VERSION,
      tee: this.#options.attester.tee,
      'extra-params': { 'supported-hash-algorithms': SUPPORTED_HASHES },
    }
    const { answerMs = CHALLENGE_MS } = this.#options
    const body = JSON.stringify(request)
    const answer = await this.#ask('POST', '/auth', signal, {}, body, answerMs)
    if (answer.status !== 200) throw this.#refusal('agent.attestation-refused', answer)
    await this.#options.onDate?.(answer.headers.date)
    const challenge = KbsChallengeSchema.safeParse(parseJson(answer.body))
    const cookie = sessionCookie(answer.headers['set-cookie'])
    if (!challenge.success || cookie === undefined)
      throw malformed('the answer of /auth holds no challenge')
    const { nonce, 'extra-params': extra } = challenge.data
    return { nonce, hash: selectedHash(extra), cookie }
  }

  async #ask(
    method: 'GET' | 'POST',
    path: string,
    signal: AbortSignal,
    headers: Readonly<Record<string, string>>,
    body?: string,
    answerMs = this.#options.answerMs ?? ANSWER_MS,
  ): Promise<HttpAnswer> {
    const timeout = AbortSignal.timeout(answerMs)
    try {
      return await this.#options.exchange({
        method,
        path: `${this.#base}${path}`,
        headers: { host: this.#host, accept: 'application/json', ...headers },
        signal: AbortSignal.any([signal, timeout]),
        ...(body !== undefined && { body }),
      })
    } catch (error) {
      if (!timeout.aborted || signal.aborted) throw error
      throw new CloisterError('agent.broker-unreachable', { why: SILENT })
    }
  }

  #refusal(
    code: 'agent.attestation-refused' | 'agent.resource-refused',
    answer: HttpAnswer,
    where?: string,
  ): CloisterError {
    if (answer.status >= 500 || answer.status === 429)
      return new CloisterError('agent.broker-unreachable', { why: `status ${answer.status}` })
    const said = refusalIn(answer)
    this.#requestId = said?.requestId ?? ''
    return new CloisterError(code, {
      ...(said?.code !== undefined && { received: said.code }),
      ...(where !== undefined && { where }),
      ...(this.#requestId !== '' && { requestId: this.#requestId }),
    })
  }
}

/** The token itself, or, where it is too long for a header, the session that it belongs to. */
function proofOfAttestation({ token, cookie }: BrokerToken): Readonly<Record<string, string>> {
  return token.length <= LONGEST_BEARER ? { authorization: `Bearer ${token}` } : { cookie }
}

/** Tries again what may pass: a broker that starts, or a host that comes back. */
async function withRetries<Value>(work: () => Promise<Value>, signal: AbortSignal): Promise<Value> {
  let silences = 0
  for (let attempt = 1; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      const isPassing = error instanceof CloisterError && error.retryable
      if (isPassing && error.details.why === SILENT) silences++
      if (!isPassing || attempt === TRIES || silences === SILENCES) throw error
      await sleep(RETRY_MS, undefined, { signal })
    }
  }
}

/** What a refusal says; absent when its body is not the protocol's. */
function refusalIn(answer: HttpAnswer): ReturnType<typeof readKbsError> | undefined {
  try {
    return readKbsError(KbsErrorSchema.parse(parseJson(answer.body)))
  } catch {
    return undefined
  }
}

function isTokenError(answer: HttpAnswer): boolean {
  const variant = refusalIn(answer)?.variant
  return variant === 'TokenVerifierError' || variant === 'TokenNotFound'
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch (cause) {
    throw new CloisterError('agent.broker-malformed', { why: 'the answer is not JSON', cause })
  }
}

/** `name=value` of the session's cookie; other cookies are of no use here. */
function sessionCookie(headers: readonly string[] | undefined): string | undefined {
  const own = headers?.find((header) => header.startsWith(`${KBS_SESSION_COOKIE}=`))
  return own === undefined ? undefined : /^[^;\r\n]{1,200}/.exec(own)?.[0]
}

function selectedHash(extra: unknown): RuntimeDataHash {
  const selected = (extra as { 'selected-hash-algorithm'?: unknown } | null)?.[
    'selected-hash-algorithm'
  ]
  if (selected === undefined) return 'sha384'
  if (typeof selected !== 'string') throw malformed('its selected hash is no name')
  const hash = SUPPORTED_HASHES.find((known) => known === selected.toLowerCase())
  if (hash === undefined) throw malformed('it selected a hash that we did not offer')
  return hash
}

/** `exp` of a JWT, in milliseconds. */
function expiryOf(token: string): number {
  const claims = parseJson(Buffer.from(token.split('.')[1] ?? '', 'base64url')) as {
    readonly exp?: unknown
  } | null
  if (typeof claims?.exp !== 'number') throw malformed('the token says no end')
  return claims.exp * 1000
}

function malformed(why: string): CloisterError {
  return new CloisterError('agent.broker-malformed', { why })
}
