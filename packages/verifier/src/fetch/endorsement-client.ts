/**
 * Asks the vendors' services, politely and without trust: one request at a time to each host with a pause between, back-off with
 * jitter, a time-out for each attempt and a deadline for all, bounded answers, no redirects, a cache. Works wherever there is a `fetch`.
 */
import { FormatError } from '../bytes/format-error.ts'
import { readBody } from './answer-body.ts'
import { EndorsementFetchError } from './fetch-error.ts'
import { MemoryFetchCache } from './fetch-cache.ts'
import type { CachedAnswer, FetchCache } from './fetch-cache.ts'

/** The part of `fetch` that is used. */
export type FetchFunction = (url: string, init: RequestInit) => Promise<Response>

export interface EndorsementClientOptions {
  readonly fetch: FetchFunction
  /** Absent: a bounded one in memory. */
  readonly cache?: FetchCache
  /** Serves from the cache alone. */
  readonly offline?: boolean
  /** For one attempt, milliseconds. Services answer within a second or two. */
  readonly timeoutMs?: number
  /** For all attempts at one answer with the pauses between, milliseconds. */
  readonly deadlineMs?: number
  readonly attempts?: number
  /** Least pause between two requests to one host, milliseconds. AMD's service answers 429 to anything quicker. */
  readonly spacingMs?: number
  /** Milliseconds since 1970. Absent: the clock. */
  readonly now?: () => number
  /** From 0 to below 1. Absent: `Math.random`. */
  readonly random?: () => number
  /** Absent: a timer. */
  readonly sleep?: (ms: number, signal: AbortSignal | undefined) => Promise<void>
}

/** What the reader of an answer made of it. */
export interface ReadAnswer<Value> {
  readonly value: Value
  /** When it goes out of date; absent for what never does. */
  readonly expires?: Date
}

export interface EndorsementRequest<Value> {
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  /** Makes it a POST, which is never cached. */
  readonly body?: Uint8Array
  /** Bytes. */
  readonly maxBytes: number
  /** Headers of the answer that `read` wants, in lower case. */
  readonly keep?: readonly string[]
  /** From the cache without asking for this long, milliseconds; never past `expires`. */
  readonly freshMs: number
  /** @throws FormatError, EndorsementFetchError when the answer is not what was asked for */
  readonly read: (
    body: Uint8Array,
    headers: Readonly<Record<string, string>>,
  ) => ReadAnswer<Value> | Promise<ReadAnswer<Value>>
  readonly signal?: AbortSignal | undefined
}

export interface Fetched<Value> {
  readonly value: Value
  /** `cache` also where the service was asked in vain and the answer kept before is still in date. */
  readonly from: 'network' | 'cache'
  readonly expires?: Date
}

/** Who waits for one host. */
interface HostLine {
  last: Promise<void>
  /** When the last request ended, milliseconds since 1970. */
  endedAt: number
}

interface UnderWay {
  readonly signal: AbortSignal | undefined
  readonly answer: Promise<Fetched<unknown>>
}

const RETRIED: ReadonlySet<string> = new Set([
  'fetch.unreachable',
  'fetch.interrupted',
  'fetch.timeout',
  'fetch.rate-limited',
  'fetch.server-error',
])
const BACKOFF = { firstMs: 500, capMs: 10_000 } as const

export class EndorsementClient {
  readonly #options: Required<EndorsementClientOptions>
  readonly #lines = new Map<string, HostLine>()
  readonly #underWay = new Map<string, UnderWay>()

  constructor(options: EndorsementClientOptions) {
    this.#options = {
      cache: new MemoryFetchCache(),
      offline: false,
      timeoutMs: 15_000,
      deadlineMs: 60_000,
      attempts: 4,
      spacingMs: 250,
      now: Date.now,
      random: Math.random,
      sleep: sleepFor,
      ...options,
    }
  }

  get now(): Date {
    return new Date(this.#options.now())
  }

  /**
   * The answer, from the cache while it is fresh. Two calls for one address at once make one request.
   *
   * @throws EndorsementFetchError
   */
  async get<Value>(request: EndorsementRequest<Value>): Promise<Fetched<Value>> {
    checkUrl(request.url)
    if (request.body !== undefined) return this.#fromNetwork(request)
    const running = this.#underWay.get(request.url)
    // Shared only where nobody else can give it up.
    if (running !== undefined && running.signal === request.signal)
      return (await running.answer) as Fetched<Value>
    const answer = this.#find(request)
    this.#underWay.set(request.url, { signal: request.signal, answer })
    try {
      return await answer
    } finally {
      this.#underWay.delete(request.url)
    }
  }

  async #find<Value>(request: EndorsementRequest<Value>): Promise<Fetched<Value>> {
    const kept = await this.#fromCache(request)
    if (kept !== undefined && (kept.fresh || this.#options.offline)) return kept.answer
    try {
      return await this.#fromNetwork(request)
    } catch (error) {
      // The service is down: what was kept is in date and was checked as it was read. A wrong answer is nobody's outage.
      const down = error instanceof EndorsementFetchError && RETRIED.has(error.code)
      if (kept !== undefined && down) return kept.answer
      throw error
    }
  }

  async #fromCache<Value>(
    request: EndorsementRequest<Value>,
  ): Promise<{ readonly answer: Fetched<Value>; readonly fresh: boolean } | undefined> {
    const { cache, now } = this.#options
    try {
      const kept = await cache.get(request.url)
      if (kept === undefined || kept.body.length > request.maxBytes) return undefined
      const { value, expires } = await request.read(kept.body, kept.headers)
      const at = now()
      if (expires !== undefined && expires.getTime() <= at) return undefined
      const fresh = kept.storedAt <= at && at - kept.storedAt < request.freshMs
      return { fresh, answer: { value, from: 'cache', ...(expires !== undefined && { expires }) } }
    } catch {
      // A damaged cache is no cache: whoever can write to it can only make us ask again.
      return undefined
    }
  }

  async #fromNetwork<Value>(request: EndorsementRequest<Value>): Promise<Fetched<Value>> {
    const url = shownUrl(request.url)
    if (this.#options.offline) throw new EndorsementFetchError('fetch.offline', { url })
    const answer = await this.#ask(request)
    const { value, expires } = await readAnswer(request, answer)
    if (expires !== undefined && expires.getTime() <= this.#options.now())
      throw new EndorsementFetchError('fetch.content-expired', {
        url,
        problem: `since ${expires.toISOString()}`,
      })
    if (request.body === undefined) await this.#keep(request.url, answer)
    return { value, from: 'network', ...(expires !== undefined && { expires }) }
  }

  async #keep(url: string, answer: CachedAnswer): Promise<void> {
    try {
      await this.#options.cache.set(url, answer)
    } catch {
      // A cache that cannot be written only costs the next request.
    }
  }

  /** Until an answer, an error that will not go away, the last attempt or the deadline. */
  async #ask(request: EndorsementRequest<unknown>): Promise<CachedAnswer> {
    const { attempts, deadlineMs, now, sleep } = this.#options
    const deadline = now() + deadlineMs
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#inTurn(request, () => this.#attempt(request))
      } catch (error) {
        if (!(error instanceof EndorsementFetchError) || !RETRIED.has(error.code)) throw error
        const pauseMs = this.#pauseMs(attempt, error.retryAfterMs)
        if (attempt >= attempts || now() + pauseMs > deadline) throw error
        await sleep(pauseMs, request.signal)
      }
    }
  }

  /** What the service asks for if anything, else exponential with full jitter. */
  #pauseMs(attempt: number, retryAfterMs: number | undefined): number {
    const { random } = this.#options
    const most = Math.min(BACKOFF.capMs, BACKOFF.firstMs * 2 ** (attempt - 1))
    return (retryAfterMs ?? 0) + random() * most
  }

  /** One request at a time to a host, with a pause between. */
  async #inTurn<Value>(
    { url, signal }: EndorsementRequest<unknown>,
    send: () => Promise<Value>,
  ): Promise<Value> {
    const { spacingMs, now, sleep } = this.#options
    const { host } = new URL(url)
    const line = this.#lines.get(host) ?? { last: Promise.resolve(), endedAt: -Infinity }
    this.#lines.set(host, line)
    const before = line.last
    const { promise, resolve } = Promise.withResolvers<void>()
    line.last = before.then(() => promise)
    try {
      await before
      const pauseMs = line.endedAt + spacingMs - now()
      if (pauseMs > 0) await sleep(pauseMs, signal)
      signal?.throwIfAborted()
      return await send()
    } finally {
      line.endedAt = now()
      resolve()
    }
  }

  async #attempt({
    url,
    headers = {},
    body,
    maxBytes,
    keep = [],
    signal,
  }: EndorsementRequest<unknown>): Promise<CachedAnswer> {
    const { fetch, timeoutMs, now } = this.#options
    const timeout = AbortSignal.timeout(timeoutMs)
    const shown = shownUrl(url)
    try {
      const response = await fetch(url, {
        method: body === undefined ? 'GET' : 'POST',
        headers,
        ...(body !== undefined && { body: body as BodyInit }),
        redirect: 'manual',
        credentials: 'omit',
        cache: 'no-store',
        referrerPolicy: 'no-referrer',
        signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
      })
      refuseStatus(response, shown, now())
      const whole = await readBody(response, maxBytes, shown)
      const kept = keep.flatMap((name) => {
        const value = response.headers.get(name)
        return value === null ? [] : [[name, value] as const]
      })
      return { body: whole, headers: Object.fromEntries(kept), storedAt: now() }
    } catch (cause) {
      if (cause instanceof EndorsementFetchError) throw cause
      signal?.throwIfAborted()
      throw new EndorsementFetchError(timeout.aborted ? 'fetch.timeout' : 'fetch.unreachable', {
        url: shown,
        cause,
      })
    }
  }
}

async function readAnswer<Value>(
  request: EndorsementRequest<Value>,
  { body, headers }: CachedAnswer,
): Promise<ReadAnswer<Value>> {
  try {
    return await request.read(body, headers)
  } catch (cause) {
    const url = shownUrl(request.url)
    if (cause instanceof EndorsementFetchError && cause.url === undefined)
      throw new EndorsementFetchError(cause.code, { url, problem: cause.problem, cause })
    if (!(cause instanceof FormatError)) throw cause
    const problem = cause.message.slice(0, 200)
    throw new EndorsementFetchError('fetch.content-malformed', { url, problem, cause })
  }
}

/** Anything but 200 is an error. A body that nobody reads is given up, so that its connection can go. */
function refuseStatus(response: Response, url: string, now: number): void {
  const { status, type } = response
  if (status === 200) return
  void response.body?.cancel().catch(() => undefined)
  const details = { url, status }
  if (type === 'opaqueredirect' || (status >= 300 && status < 400))
    throw new EndorsementFetchError('fetch.redirect-refused', details)
  if (status === 404) throw new EndorsementFetchError('fetch.not-found', details)
  if (status === 401 || status === 403)
    throw new EndorsementFetchError('fetch.unauthorized', details)
  if (status === 429 || status === 503) {
    const retryAfterMs = readRetryAfter(response.headers.get('retry-after'), now)
    const code = status === 429 ? 'fetch.rate-limited' : 'fetch.server-error'
    throw new EndorsementFetchError(code, { ...details, retryAfterMs })
  }
  const code = status >= 500 && status < 600 ? 'fetch.server-error' : 'fetch.rejected'
  throw new EndorsementFetchError(code, details)
}

/** RFC 9110 section 10.2.3: seconds, or a date. */
function readRetryAfter(text: string | null, now: number): number | undefined {
  if (text === null || text.length > 40) return undefined
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000
  const time = Date.parse(text)
  return Number.isNaN(time) ? undefined : Math.max(0, time - now)
}

const PLAIN_HOSTS: ReadonlySet<string> = new Set([
  '127.0.0.1',
  'localhost',
  '[::1]',
  '169.254.169.254',
])

/** Plain HTTP only to this machine, and to the metadata service of a cloud, which has no other. @throws TypeError */
function checkUrl(url: string): void {
  const { protocol, hostname, username } = new URL(url)
  const safe =
    protocol === 'https:' || (protocol === 'http:' && PLAIN_HOSTS.has(hostname.toLowerCase()))
  if (!safe || username !== '')
    throw new TypeError(
      `an address of endorsements must be https, without a user: ${shownUrl(url)}`,
    )
}

/** For messages: a query may hold what identifies a platform. */
function shownUrl(url: string): string {
  const { protocol, host, pathname } = new URL(url)
  return `${protocol}//${host}${pathname}`.slice(0, 200)
}

async function sleepFor(ms: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, ms)
  const stop = () => {
    reject(signal?.reason)
  }
  signal?.addEventListener('abort', stop, { once: true })
  try {
    await promise
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', stop)
  }
}
