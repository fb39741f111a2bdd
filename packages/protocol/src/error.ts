/**
 * The one error object of Cloister, from the guest's agent to the terminal (RFC 9457 members in HTTP).
 * A code is API: stable, dotted, lower-case, listed in `errors/`. A message never holds a secret.
 */
import { ERROR_CODES, type ErrorCode } from './errors/catalogue.ts'

/** What an error may say beside its code; each member is absent when there is nothing to say. */
export interface ErrorDetails {
  /** The cause in this case, one sentence without a final full stop. Absent: the catalogue's cause. */
  readonly why?: string
  /** The component, file, field or byte range. */
  readonly where?: string
  readonly expected?: string
  readonly received?: string
  /** Commands that mend it. Absent: the catalogue's. */
  readonly fix?: readonly string[]
  /** Finds the full reasons in the broker's audit log. */
  readonly requestId?: string
  readonly cause?: unknown
}

/** The error object as JSON: RFC 9457 `type`, `title`, `status` and our members. */
export interface ErrorObject {
  readonly type: string
  readonly code: ErrorCode
  readonly title: string
  readonly status: number
  readonly why: string
  readonly fix: readonly string[]
  readonly retryable: boolean
  readonly where?: string
  readonly expected?: string
  readonly received?: string
  readonly requestId?: string
}

/** A failure that has a code. Anything else that is thrown is a bug and ends as `internal.bug`. */
export class CloisterError extends Error {
  override readonly name = 'CloisterError'
  readonly code: ErrorCode
  readonly details: ErrorDetails

  constructor(code: ErrorCode, details: ErrorDetails = {}) {
    const entry = ERROR_CODES[code]
    super(`${entry.title}: ${details.why ?? entry.why}`, { cause: details.cause })
    this.code = code
    this.details = details
  }

  /** The exit code of the CLI, 1 to 7 (design: 2 refused, 3 undecided, 4 not ready, 5 precondition, 6 usage, 7 permission). */
  get exit(): number {
    return ERROR_CODES[this.code].exit
  }

  get retryable(): boolean {
    return ERROR_CODES[this.code].retryable ?? false
  }

  toJSON(): ErrorObject {
    const entry = ERROR_CODES[this.code]
    const { why, where, expected, received, fix, requestId } = this.details
    return {
      type: `urn:cloister:error:${this.code}`,
      code: this.code,
      title: entry.title,
      status: entry.status,
      why: why ?? entry.why,
      fix: fix ?? entry.fix,
      retryable: this.retryable,
      ...(where !== undefined && { where }),
      ...(expected !== undefined && { expected }),
      ...(received !== undefined && { received }),
      ...(requestId !== undefined && { requestId }),
    }
  }

  /** Rebuilds an error from its JSON, as read from a peer; an unknown code becomes `internal.bug`. */
  static fromJSON(value: unknown): CloisterError {
    const object = (typeof value === 'object' && value !== null ? value : {}) as Record<
      string,
      unknown
    >
    const text = (member: string) => {
      const found = object[member]
      return typeof found === 'string' ? found : undefined
    }
    const code = text('code')
    if (code === undefined || !Object.hasOwn(ERROR_CODES, code))
      return new CloisterError('internal.bug', {
        why: `a peer answered with an unknown error (${String(code).slice(0, 60)})`,
      })
    const details: Record<string, unknown> = {}
    for (const member of ['why', 'where', 'expected', 'received', 'requestId'])
      if (text(member) !== undefined) details[member] = text(member)
    if (Array.isArray(object['fix']))
      details['fix'] = object['fix'].filter((line) => typeof line === 'string')
    return new CloisterError(code as ErrorCode, details)
  }

  /** The thrown value itself when it has a code, else `internal.bug` around it. */
  static from(thrown: unknown): CloisterError {
    if (thrown instanceof CloisterError) return thrown
    const why = thrown instanceof Error ? thrown.message : String(thrown)
    return new CloisterError('internal.bug', { why, cause: thrown })
  }
}
