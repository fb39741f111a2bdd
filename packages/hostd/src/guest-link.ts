/**
 * Calls to a guest's agent: ttrpc in sessions over the unix socket of its port, opened anew when one ends.
 * Attacker-controlled: every answer. A frame is bounded by ttrpc's limit, a call by its deadline, sessions by {@link GuestLink.call}'s caller.
 */
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { DescMessage, MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import { CloisterError } from '@cloister/protocol/error'
import { orAborted } from '@cloister/protocol/or-aborted'
import { openPortSession } from '@cloister/protocol/port-session'
import { TtrpcClient, type CallOptions, type Unary } from '@cloister/protocol/ttrpc/client'
import { TTRPC_FRAMING } from '@cloister/protocol/ttrpc/frame'
import { STATUS, TtrpcError } from '@cloister/protocol/ttrpc/status'
import { guestCode } from '@cloister/protocol/guest-code'

/** The session ended before the answer came; whether the guest acted on the request is unknown. */
export class SessionLost extends Error {
  override readonly name = 'SessionLost'
}

export class GuestLink {
  readonly #socketPath: string
  readonly #stop = new AbortController()
  #opening: Promise<TtrpcClient> | undefined
  /** Opened, and not given up. */
  #current: TtrpcClient | undefined

  /** @param socketPath - host side of the port `cloister.agent` */
  constructor(socketPath: string) {
    this.#socketPath = socketPath
  }

  /**
   * One call; opens a session first when there is none, which waits for as long as the guest takes to boot.
   *
   * @throws SessionLost, the signal's reason, or CloisterError: the code that the guest named, else `guest.refused`,
   * `guest.no-answer` or `guest.misbehaved`
   */
  async call<Input extends DescMessage, Output extends DescMessage>(
    method: Unary<Input, Output>,
    input: MessageInitShape<Input>,
    options: CallOptions = {},
  ): Promise<MessageShape<Output>> {
    const session = await abortable(this.#session(), options.signal)
    try {
      return await session.call(method, input, options)
    } catch (error) {
      if (options.signal?.aborted === true) throw error
      throw guestError(error, method.name)
    }
  }

  get isClosed(): boolean {
    return this.#stop.signal.aborted
  }

  close(): void {
    this.#stop.abort(new SessionLost('the link was closed'))
    this.#opening?.then(
      (session) => session.close(),
      () => undefined,
    )
  }

  /** Gives up the session: the agent that it was opened with may have been replaced by another, which knows nothing of it. The next call opens one. */
  reset(): void {
    const session = this.#current
    // One that is being opened asks for a new agent already.
    if (session === undefined) return
    this.#forget(session)
    session.close()
  }

  #session(): Promise<TtrpcClient> {
    this.#stop.signal.throwIfAborted()
    this.#opening ??= this.#open()
    return this.#opening
  }

  async #open(): Promise<TtrpcClient> {
    try {
      const socket = await connectPort(this.#socketPath, this.#stop.signal)
      const channel = await openPortSession(socket, TTRPC_FRAMING, { signal: this.#stop.signal })
      const session = new TtrpcClient(channel)
      this.#current = session
      void session.closed.then(() => this.#forget(session))
      return session
    } catch (error) {
      this.#opening = undefined
      throw error instanceof SessionLost ? error : new SessionLost('no session', { cause: error })
    }
  }

  #forget(session: TtrpcClient): void {
    if (this.#current !== session) return
    this.#current = undefined
    this.#opening = undefined
  }
}

/** Connects to a socket that QEMU serves; QEMU takes one client at a time and may just be making it. */
export async function connectPort(socketPath: string, signal: AbortSignal): Promise<Socket> {
  for (let attempt = 0; ; attempt++) {
    signal.throwIfAborted()
    const socket = connect({ path: socketPath, allowHalfOpen: false })
    const connected = Promise.withResolvers<boolean>()
    socket.once('connect', () => connected.resolve(true))
    socket.once('error', () => connected.resolve(false))
    const isConnected = await connected.promise
    // From here on errors show as the stream's close.
    socket.on('error', () => undefined)
    if (isConnected && !signal.aborted) return socket
    socket.destroy()
    if (attempt >= CONNECT_ATTEMPTS) throw new SessionLost(`cannot connect to ${socketPath}`)
    await sleep(50, undefined, { signal })
  }
}

/** Five seconds: the socket exists before QEMU is told to run. */
const CONNECT_ATTEMPTS = 100

/** The value, or the signal's reason when that fires first. */
export async function abortable<Value>(
  value: Promise<Value>,
  signal?: AbortSignal,
): Promise<Value> {
  if (signal === undefined) return value
  signal.throwIfAborted()
  return await orAborted(value, signal)
}

function guestError(error: unknown, call: string): Error {
  const where = `guest, ${call}`
  if (!(error instanceof TtrpcError))
    return new CloisterError('guest.misbehaved', { where, why: 'its answer cannot be read' })
  if (error.status === STATUS.unavailable && guestCode(error.message) === undefined)
    return new SessionLost(error.message, { cause: error })
  const code = guestCode(error.message)
  if (code !== undefined) return new CloisterError(code, { where, cause: error })
  if (error.status === STATUS.permissionDenied)
    return new CloisterError('guest.refused', { where, cause: error })
  if (error.status === STATUS.deadlineExceeded)
    return new CloisterError('guest.no-answer', { where, cause: error })
  const why = `it answered with status ${error.status} and no code`
  return new CloisterError('guest.misbehaved', { where, why, cause: error })
}
