/**
 * Client of one repository in a registry (OCI distribution-spec 1.1). The registry is hostile: every answer is bounded, redirects are counted
 * and lose the credentials at another origin, and bytes are taken only up to the size that the descriptor states. Digests are checked by the reader.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { CloisterError } from '@cloister/protocol/error'
import {
  boundedBody,
  discardBody,
  type HttpRequest,
  type HttpResponse,
  type HttpTransport,
} from './http-message.ts'
import { MANIFEST_LIMITS, type Descriptor } from './manifest.ts'
import { INDEX_TYPES, MANIFEST_TYPES } from './media-types.ts'
import { repositoryName, type ImageReference } from './reference.ts'
import { answerChallenge, parseChallenge } from './registry-auth.ts'
import type { ImageSource } from './image-source.ts'
import type { Credentials } from './registry-credentials.ts'

export interface RegistryOptions {
  readonly reference: Pick<ImageReference, 'registry' | 'repository'>
  readonly transport: HttpTransport
  /** Absent: https. Credentials are never sent over http. */
  readonly plainHttp?: boolean
  /** Absent: anonymous. */
  readonly credentials?: Credentials | undefined
  /** Rights asked of a token service; absent: `pull`. */
  readonly access?: 'pull' | 'pull,push'
  /** First pause before a retry; doubles each time. Absent: 250 ms. */
  readonly retryDelayMs?: number
  /** After a failure that took this long nothing is asked again: another silence would be as long. Absent: 30 s. */
  readonly patienceMs?: number
}

const REDIRECT_LIMIT = 5
/** Requests for one answer, and for the rest of one blob without progress. */
const ATTEMPTS = 4
const RETRY_STATUSES = new Set([429, 500, 502, 503, 504])

/** What a caller asks of the client: a path of this registry or a URL that the registry gave. */
export type RegistryRequest = Omit<HttpRequest, 'url'> & { readonly url: string | URL }

export class RegistryClient implements ImageSource {
  readonly name: string
  readonly #options: RegistryOptions
  readonly #base: URL
  #authorization: string | undefined

  constructor(options: RegistryOptions) {
    this.#options = options
    this.name = repositoryName(options.reference)
    const { registry } = options.reference
    // Docker Hub's API has another name than its images.
    const host = registry === 'docker.io' ? 'registry-1.docker.io' : registry
    this.#base = new URL(`${options.plainHttp === true ? 'http' : 'https'}://${host}`)
  }

  async document(reference: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const response = await this.request({
      method: 'GET',
      url: this.path(`manifests/${reference}`),
      headers: { accept: [...MANIFEST_TYPES, ...INDEX_TYPES].join(', ') },
      signal,
    })
    if (response.status === 404) {
      await discardBody(response)
      return undefined
    }
    await this.expectStatus(response, [200], reference)
    const body = await boundedBody(response, MANIFEST_LIMITS.manifestBytes)
    if (body === undefined)
      throw new CloisterError('image.manifest-malformed', {
        where: `${this.name} ${reference}`,
        expected: `at most ${MANIFEST_LIMITS.manifestBytes} bytes`,
        received: 'more',
      })
    return body
  }

  /** Goes on with a range request where a connection broke off. */
  async *blob(
    { digest, size }: Pick<Descriptor, 'digest' | 'size'>,
    signal?: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    let received = 0
    let failures = 0
    for (;;) {
      const before = received
      try {
        for await (const chunk of this.#blobFrom(digest, received, signal)) {
          received += chunk.length
          if (received > size) throw this.#sizeMismatch(digest, size)
          yield chunk
        }
        if (received < size) throw this.#sizeMismatch(digest, size, received)
        return
      } catch (error) {
        failures = received > before ? 1 : failures + 1
        if (!isRetryable(error) || failures >= ATTEMPTS || signal?.aborted === true) throw error
        await this.#pause(failures, signal)
      }
    }
  }

  /** A path below `/v2/<repository>/`. */
  path(rest: string): string {
    return `/v2/${this.#options.reference.repository}/${rest}`
  }

  /** A `Location` as URL; absent: it is not at this registry. */
  resolve(location: string): URL | undefined {
    const url = URL.canParse(location, this.#base) ? new URL(location, this.#base) : undefined
    return url?.origin === this.#base.origin ? url : undefined
  }

  /** Sends with authorization, redirects and retries; answers of any status but a final 401 come back. */
  async request(request: RegistryRequest): Promise<HttpResponse> {
    const url = new URL(request.url, this.#base)
    const first = await this.#sendWithRetries({ ...request, url })
    if (first.status !== 401 || url.origin !== this.#base.origin) return first
    if (!isRepeatable(request)) await this.expectStatus(first, [], 'upload')
    await discardBody(first)
    this.#authorization = await this.#authorize(first, request.signal)
    const second = await this.#sendWithRetries({ ...request, url })
    if (second.status === 401) await this.expectStatus(second, [], 'after authorization')
    return second
  }

  /** Throws for a status other than the permitted ones; the body of such an answer is not read. */
  async expectStatus(
    response: HttpResponse,
    permitted: readonly number[],
    what: string,
  ): Promise<void> {
    if (permitted.includes(response.status)) return
    await discardBody(response)
    const where = `${this.name} ${what}`
    const received = `HTTP ${response.status}`
    if (response.status === 401 || response.status === 403)
      throw new CloisterError('registry.unauthorized', { where, received })
    if (response.status === 404) throw new CloisterError('image.not-found', { where })
    throw new CloisterError('registry.failed', { where, received })
  }

  async *#blobFrom(
    digest: string,
    offset: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Uint8Array> {
    const response = await this.request({
      method: 'GET',
      url: this.path(`blobs/${digest}`),
      headers: offset === 0 ? {} : { range: `bytes=${offset}-` },
      signal,
    })
    await this.expectStatus(response, [200, 206], digest)
    const start = /^bytes (\d+)-/.exec(response.headers['content-range'] ?? '')?.[1]
    if (response.status === 206 && Number(start) !== offset) {
      await discardBody(response)
      throw new CloisterError('registry.failed', {
        where: `${this.name} ${digest}`,
        why: 'it answered with another range than the one asked for',
      })
    }
    // A server without ranges sends all of it again.
    yield* response.status === 200 ? skipBytes(response.body, offset) : response.body
  }

  async #authorize(response: HttpResponse, signal: AbortSignal | undefined): Promise<string> {
    const { transport, credentials, reference, access = 'pull' } = this.#options
    const challenge = parseChallenge(response.headers['www-authenticate'] ?? '')
    const answer =
      challenge === undefined
        ? undefined
        : await answerChallenge(challenge, {
            transport,
            registry: this.#base,
            scope: `repository:${reference.repository}:${access}`,
            credentials,
            signal,
          })
    if (answer === undefined)
      throw new CloisterError('registry.unauthorized', {
        where: this.name,
        why:
          credentials === undefined
            ? 'it asks for credentials and there are none for it'
            : 'it does not accept the credentials',
      })
    return answer
  }

  async #sendWithRetries(request: HttpRequest): Promise<HttpResponse> {
    const { patienceMs = 30_000 } = this.#options
    const startedAt = performance.now()
    for (let attempt = 1; ; attempt++) {
      const isLast = attempt >= ATTEMPTS || !isRepeatable(request)
      try {
        const response = await this.#follow(request)
        if (isLast || !RETRY_STATUSES.has(response.status)) return response
        await discardBody(response)
      } catch (error) {
        const isLost = performance.now() - startedAt > patienceMs
        if (isLast || isLost || !isRetryable(error) || request.signal?.aborted === true) throw error
      }
      await this.#pause(attempt, request.signal)
    }
  }

  async #follow(request: HttpRequest): Promise<HttpResponse> {
    let { url } = request
    for (let redirects = 0; redirects <= REDIRECT_LIMIT; redirects++) {
      const isOwnOrigin = url.origin === this.#base.origin
      const response = await this.#options.transport({
        ...request,
        url,
        headers: {
          ...request.headers,
          ...(isOwnOrigin && this.#authorization && { authorization: this.#authorization }),
        },
      })
      const isRedirect = [301, 302, 303, 307, 308].includes(response.status)
      if (!isRedirect || !['GET', 'HEAD'].includes(request.method)) return response
      await discardBody(response)
      url = redirectTarget(response, url)
    }
    throw new CloisterError('registry.redirect-refused', {
      where: this.name,
      why: `it redirects more than ${REDIRECT_LIMIT} times`,
    })
  }

  async #pause(attempt: number, signal: AbortSignal | undefined): Promise<void> {
    const base = (this.#options.retryDelayMs ?? 250) * 2 ** (attempt - 1)
    await delay(
      base * (0.75 + Math.random() / 2),
      undefined,
      signal === undefined ? {} : { signal },
    )
  }

  #sizeMismatch(digest: string, size: number, received?: number): CloisterError {
    return new CloisterError('image.size-mismatch', {
      where: `${this.name} ${digest}`,
      expected: `${size} bytes`,
      received: received === undefined ? 'more' : `${received} bytes`,
    })
  }
}

/** The source of an image in a registry. */
export function registrySource(options: RegistryOptions): ImageSource {
  return new RegistryClient(options)
}

function redirectTarget(response: HttpResponse, from: URL): URL {
  const location = response.headers['location'] ?? ''
  const target = URL.canParse(location, from) ? new URL(location, from) : undefined
  const isDowngrade = from.protocol === 'https:' && target?.protocol !== 'https:'
  if (target === undefined || isDowngrade || !/^https?:$/.test(target.protocol))
    throw new CloisterError('registry.redirect-refused', {
      where: from.host,
      why: 'it redirects to no address, or from https to another scheme',
    })
  target.username = ''
  target.password = ''
  return target
}

/** A request with a streamed body is sent once: its bytes cannot be read again. */
function isRepeatable({ body }: Pick<HttpRequest, 'body'>): boolean {
  return body === undefined || body instanceof Uint8Array
}

function isRetryable(error: unknown): boolean {
  return error instanceof CloisterError && error.code === 'registry.unreachable'
}

async function* skipBytes(
  body: AsyncIterable<Uint8Array>,
  count: number,
): AsyncGenerator<Uint8Array> {
  let left = count
  for await (const chunk of body) {
    const skipped = Math.min(left, chunk.length)
    left -= skipped
    if (skipped < chunk.length) yield chunk.subarray(skipped)
  }
}
