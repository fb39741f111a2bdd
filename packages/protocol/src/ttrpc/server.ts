/** Serves unary ttrpc calls on a frame channel. Attacker-controlled: every frame. */
import {
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethod,
  type DescService,
  type Message,
} from '@bufbuild/protobuf'
import { CloisterError } from '../error.ts'
import type { FrameChannel } from '../frame-channel.ts'
import { encodeTtrpcHeader, FRAME_TYPE, parseTtrpcFrame, type TtrpcFrame } from './frame.ts'
import { STATUS, statusOf, TtrpcError } from './status.ts'
import { RequestSchema, ResponseSchema, type Request } from './ttrpc_pb.ts'

export interface TtrpcCall {
  readonly method: DescMethod
  readonly request: Message
  /** Aborts at the caller's deadline and when the session ends. */
  readonly signal: AbortSignal
}

/**
 * Answers one call with a message of `method.output`, or throws: a `CloisterError` crosses as its code only, a `TtrpcError` as it
 * is, anything else as `internal.bug`.
 */
export type TtrpcHandler = (call: TtrpcCall) => Promise<Message>

export interface TtrpcServerOptions {
  readonly services: readonly DescService[]
  readonly handler: TtrpcHandler
  /** Told of what is refused before it reaches the handler: an unknown service or method. */
  readonly onUnknown?: (service: string, method: string) => void
  /** Told of every failure that is not a `CloisterError`: a bug. */
  readonly onFailure?: (error: unknown) => void
  /** Calls that may run at once; one more is refused. */
  readonly maxCalls?: number
}

const MAX_CALLS = 64
/** The longest deadline a timer can hold; a longer one is none. */
const MAX_TIMER_MS = 0x7fffffff

/** Serves until the channel closes. */
export function serveTtrpc(channel: FrameChannel, options: TtrpcServerOptions): void {
  const server = new Server(channel, options)
  channel.start({ frame: (bytes) => server.receive(bytes), closed: () => server.end() })
}

class Server {
  readonly #channel: FrameChannel
  readonly #options: TtrpcServerOptions
  readonly #methods = new Map<string, DescMethod>()
  readonly #calls = new Map<number, AbortController>()
  #lastId = 0

  constructor(channel: FrameChannel, options: TtrpcServerOptions) {
    this.#channel = channel
    this.#options = options
    for (const service of options.services)
      for (const method of service.methods)
        this.#methods.set(`${service.typeName}/${method.name}`, method)
  }

  receive(bytes: Uint8Array): void {
    const frame = parseTtrpcFrame(bytes)
    const refusal = this.#refusal(frame)
    if (refusal !== undefined) {
      this.#answer(frame.streamId, refusal)
      return
    }
    this.#lastId = frame.streamId
    void this.#serve(frame)
  }

  end(): void {
    for (const call of this.#calls.values()) call.abort(new Error('the session ended'))
    this.#calls.clear()
  }

  #refusal(frame: TtrpcFrame): TtrpcError | undefined {
    if (frame.type !== FRAME_TYPE.request || frame.flags !== 0)
      return new TtrpcError(STATUS.unimplemented, 'request.malformed')
    if (frame.streamId % 2 === 0 || frame.streamId <= this.#lastId)
      return new TtrpcError(STATUS.invalidArgument, 'request.malformed')
    if (this.#calls.size >= (this.#options.maxCalls ?? MAX_CALLS))
      return new TtrpcError(STATUS.resourceExhausted, 'agent.busy')
    return undefined
  }

  async #serve(frame: TtrpcFrame): Promise<void> {
    const call = new AbortController()
    this.#calls.set(frame.streamId, call)
    let timer: NodeJS.Timeout | undefined
    try {
      const request = parse(RequestSchema, frame.data) as Request
      const timeoutMs = Number(request.timeoutNano / 1_000_000n)
      if (timeoutMs > 0 && timeoutMs <= MAX_TIMER_MS)
        timer = setTimeout(() => {
          call.abort(new TtrpcError(STATUS.deadlineExceeded, 'agent.deadline'))
        }, timeoutMs)
      this.#answer(frame.streamId, await this.#dispatch(request, call.signal))
    } catch (error) {
      this.#answer(frame.streamId, this.#toTtrpcError(error))
    } finally {
      clearTimeout(timer)
      this.#calls.delete(frame.streamId)
    }
  }

  async #dispatch(request: Request, signal: AbortSignal): Promise<Uint8Array> {
    const method = this.#methods.get(`${request.service}/${request.method}`)
    if (method === undefined) {
      this.#options.onUnknown?.(request.service.slice(0, 100), request.method.slice(0, 100))
      throw new TtrpcError(STATUS.unimplemented, 'agent.request-unknown')
    }
    const message = parse(method.input, request.payload)
    const { promise: aborted, reject } = Promise.withResolvers<never>()
    const onAbort = () => reject(signal.reason as Error)
    signal.addEventListener('abort', onAbort)
    try {
      const answer = this.#options.handler({ method, request: message, signal })
      return toBinary(method.output, await Promise.race([answer, aborted]))
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  #toTtrpcError(error: unknown): TtrpcError {
    if (error instanceof TtrpcError) return error
    if (error instanceof CloisterError) return new TtrpcError(statusOf(error), error.code)
    this.#options.onFailure?.(error)
    return new TtrpcError(STATUS.internal, 'internal.bug')
  }

  #answer(streamId: number, answer: Uint8Array | TtrpcError): void {
    if (this.#channel.isClosed) return
    const data = toBinary(
      ResponseSchema,
      answer instanceof TtrpcError
        ? {
            $typeName: 'ttrpc.Response',
            status: { $typeName: 'ttrpc.Status', code: answer.status, message: answer.message },
            payload: new Uint8Array(),
          }
        : { $typeName: 'ttrpc.Response', payload: answer },
    )
    this.#channel.send(encodeTtrpcHeader(streamId, FRAME_TYPE.response, data), data)
    if (!this.#channel.needsDrain) return
    // A peer that asks and does not read its answers waits.
    this.#channel.pause()
    this.#channel.drained(() => this.#channel.resume())
  }
}

/** Unknown fields are kept in the message, for the handler to refuse. */
function parse(schema: DescMessage, bytes: Uint8Array): Message {
  try {
    return fromBinary(schema, bytes)
  } catch (cause) {
    throw new TtrpcError(STATUS.invalidArgument, 'request.malformed', { cause })
  }
}
