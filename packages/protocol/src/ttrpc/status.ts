/** Status codes of gRPC, as ttrpc carries them, and the error that a failed call throws. */
import { CloisterError } from '../error.ts'
import { ERROR_CODES, type ErrorCode } from '../errors/catalogue.ts'

export const STATUS = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
} as const

/** A call that failed. Between our own parts `message` is a code of the catalogue and nothing else. */
export class TtrpcError extends Error {
  override readonly name = 'TtrpcError'
  /** One of {@link STATUS}, or what a foreign peer sent. */
  readonly status: number

  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options)
    this.status = status
  }

  /** The code that the peer named; undefined when it named none. */
  get code(): ErrorCode | undefined {
    return Object.hasOwn(ERROR_CODES, this.message) ? (this.message as ErrorCode) : undefined
  }

  /** The peer's code as an error; what named no code becomes `internal.bug`. */
  toCloisterError(): CloisterError {
    return this.code === undefined ? CloisterError.from(this) : new CloisterError(this.code)
  }
}

/** The status under which an error with a code crosses ttrpc: from its HTTP status, but for what HTTP does not tell apart. */
export function statusOf(error: CloisterError): number {
  if (error.code === 'agent.id-reused') return STATUS.alreadyExists
  return STATUS_OF_HTTP[ERROR_CODES[error.code].status] ?? STATUS.internal
}

const STATUS_OF_HTTP: Readonly<Record<number, number>> = {
  400: STATUS.invalidArgument,
  401: STATUS.permissionDenied,
  403: STATUS.permissionDenied,
  404: STATUS.notFound,
  409: STATUS.failedPrecondition,
  413: STATUS.resourceExhausted,
  429: STATUS.resourceExhausted,
  501: STATUS.unimplemented,
  503: STATUS.unavailable,
  504: STATUS.deadlineExceeded,
}
