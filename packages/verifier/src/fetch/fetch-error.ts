/** Why endorsements could not be had. Codes are a closed union; callers switch on them, never on the message. */
export const FETCH_ERRORS = {
  'fetch.offline': 'Nothing in date is in the cache, and the network is not to be used',
  'fetch.unreachable': 'The service cannot be reached',
  'fetch.interrupted': 'The answer ended before it was whole',
  'fetch.timeout': 'The service did not answer in time',
  'fetch.redirect-refused':
    'The service sent the request elsewhere, and redirects are not followed',
  'fetch.not-found': 'The service has nothing for this platform',
  'fetch.unauthorized': 'The service asks for a credential, or refuses the one given',
  'fetch.rate-limited': 'The service asks for fewer requests',
  'fetch.server-error': 'The service failed',
  'fetch.rejected': 'The service refuses the request',
  'fetch.too-large': 'The answer is longer than such an answer can be',
  'fetch.content-malformed': 'The answer is not what was asked for',
  'fetch.content-mismatch': 'The answer is about something else than was asked for',
  'fetch.content-unsigned': 'The answer was not signed by the vendor',
  'fetch.content-expired': 'The service serves what is out of date',
  'fetch.subject-unknown': 'The Evidence does not say which endorsements it needs',
} as const satisfies Record<string, string>

export type FetchErrorCode = keyof typeof FETCH_ERRORS

export interface FetchErrorDetails {
  /** Without its query, which may hold a platform's id. */
  readonly url?: string | undefined
  readonly status?: number | undefined
  /** What the service asked to wait, milliseconds. */
  readonly retryAfterMs?: number | undefined
  /** What was wrong, in a few words; quotes nothing of the answer beyond a bounded length. */
  readonly problem?: string | undefined
  readonly cause?: unknown
}

/** The only error that the fetchers throw, beside what a caller's own signal was aborted with and `TypeError` for a caller's mistake. */
export class EndorsementFetchError extends Error {
  readonly code: FetchErrorCode
  readonly url: string | undefined
  readonly status: number | undefined
  readonly retryAfterMs: number | undefined
  readonly problem: string | undefined

  constructor(code: FetchErrorCode, details: FetchErrorDetails = {}) {
    const { url, status, retryAfterMs, problem, cause } = details
    const more = [url, status === undefined ? undefined : `status ${status}`, problem]
    const known = more.filter((part) => part !== undefined)
    super(
      `Cannot fetch endorsements: ${FETCH_ERRORS[code]}${known.length > 0 ? ` (${known.join(', ')})` : ''}`,
      { cause },
    )
    this.name = 'EndorsementFetchError'
    this.code = code
    this.url = url
    this.status = status
    this.retryAfterMs = retryAfterMs
    this.problem = problem
  }
}
