/** Unary ttrpc calls over a frame channel. */
import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethod,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf'
import type { FrameChannel } from '../frame-channel.ts'
import { encodeTtrpcHeader, FRAME_TYPE, parseTtrpcFrame } from './frame.ts'
import { STATUS, TtrpcError } from './status.ts'
import { RequestSchema, ResponseSchema } from './ttrpc_pb.ts'

/** A generated method with its types, such as `AgentService.method.createContainer`. */
export type Unary<Input extends DescMessage, Output extends DescMessage> = DescMethod & {
  readonly methodKind: 'unary'
  readonly input: Input
  readonly output: Output
}

export interface CallOptions {
  /** Deadline at both ends, in milliseconds. Absent: none, for calls that wait for a container's end. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

interface Pending {
  answer(data: Uint8Array): void
  fail(error: Error): void
}

/** Ids are 32 bits and odd. At the last one the session must be opened anew. */
const LAST_STREAM_ID = 0xffffffff

export class TtrpcClient {
  readonly #channel: FrameChannel
  readonly #pending = new Map<number, Pending>()
  readonly #closed = Promise.withResolvers<Error | undefined>()
  #nextId = 1

  constructor(channel: FrameChannel) {
    this.#channel = channel
    channel.start({
      frame: (bytes) => this.#receive(bytes),
      closed: (error) => this.#fail(error),
    })
  }

  /** Resolves when the session has ended; with the cause unless we closed it. */
  get closed(): Promise<Error | undefined> {
    return this.#closed.promise
  }

  /** @throws TtrpcError as answered, or `unavailable` when the session ends first, or `deadlineExceeded`; the signal's reason */
  async call<Input extends DescMessage, Output extends DescMessage>(
    method: Unary<Input, Output>,
    input: MessageInitShape<Input>,
    options: CallOptions = {},
  ): Promise<MessageShape<Output>> {
    const payload = toBinary(method.input, create(method.input, input))
    const answer = await this.#exchange(method.parent.typeName, method.name, payload, options)
    return fromBinary(method.output, answer)
  }

  close(): void {
    this.#channel.close()
  }

  #exchange(
    service: string,
    name: string,
    payload: Uint8Array,
    { timeoutMs, signal }: CallOptions,
  ): Promise<Uint8Array> {
    signal?.throwIfAborted()
    const id = this.#nextId
    if (this.#channel.isClosed || id > LAST_STREAM_ID)
      throw new TtrpcError(STATUS.unavailable, 'the session has ended')
    const data = toBinary(
      RequestSchema,
      create(RequestSchema, {
        service,
        method: name,
        payload,
        timeoutNano: BigInt(timeoutMs ?? 0) * 1_000_000n,
      }),
    )
    const header = encodeTtrpcHeader(id, FRAME_TYPE.request, data)
    this.#nextId += 2
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
    const onAbort = () => settle(() => reject(signal?.reason as Error))
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            settle(() => reject(new TtrpcError(STATUS.deadlineExceeded, `${name} took too long`)))
          }, timeoutMs)
    const settle = (finish: () => void) => {
      this.#pending.delete(id)
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      finish()
    }
    signal?.addEventListener('abort', onAbort)
    this.#pending.set(id, {
      answer: (answer) => settle(() => resolve(answer)),
      fail: (error) => settle(() => reject(error)),
    })
    this.#channel.send(header, data)
    return promise
  }

  #receive(bytes: Uint8Array): void {
    const frame = parseTtrpcFrame(bytes)
    // A late answer to a call that was given up has no pending entry any more.
    const pending = this.#pending.get(frame.streamId)
    if (pending === undefined || frame.type !== FRAME_TYPE.response) return
    try {
      const response = fromBinary(ResponseSchema, frame.data)
      const code = response.status?.code ?? STATUS.ok
      if (code === STATUS.ok) pending.answer(response.payload)
      else pending.fail(new TtrpcError(code, response.status?.message.slice(0, 1000) ?? ''))
    } catch (error) {
      pending.fail(new TtrpcError(STATUS.internal, 'cannot read the answer', { cause: error }))
    }
  }

  #fail(cause?: Error): void {
    const error = new TtrpcError(STATUS.unavailable, 'the session ended before the answer', {
      cause,
    })
    for (const pending of this.#pending.values()) pending.fail(error)
    this.#closed.resolve(cause)
  }
}
