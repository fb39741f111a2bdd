/**
 * Streams to the targets that hostd carries, over the port `cloister.net`. hostd may come late, go away and come again: each session
 * is a new set of streams, and who needs one waits for a session.
 */
import type { Duplex } from 'node:stream'
import { CloisterError } from '@cloister/protocol/error'
import { MuxConnection } from '@cloister/protocol/mux/connection'
import { MUX_FRAMING } from '@cloister/protocol/mux/frame'
import { servePortSessions } from '@cloister/protocol/port-session'
import { orAborted } from '@cloister/protocol/or-aborted'

export interface HostStreamsOptions {
  /** Targets that the workload names; no other is asked for. */
  readonly targets: readonly string[]
  /** Takes streams that the host opens to `channel`. Absent: none. */
  readonly onChannel?: (stream: Duplex) => void
}

/** The one target of the guest. */
const CHANNEL = 'channel'

export class HostStreams {
  readonly #targets: ReadonlySet<string>
  /** The session, or the promise of the next one. */
  #session = Promise.withResolvers<MuxConnection>()
  #current: MuxConnection | undefined

  constructor(port: Duplex, options: HostStreamsOptions) {
    this.#targets = new Set(options.targets)
    const { onChannel } = options
    servePortSessions(port, MUX_FRAMING, (channel) => {
      const mux = new MuxConnection(channel, {
        side: 'guest',
        accepts: (target) => target === CHANNEL,
        ...(onChannel !== undefined && { onStream: onChannel }),
      })
      if (this.#current !== undefined) this.#session = Promise.withResolvers()
      this.#current = mux
      this.#session.resolve(mux)
      void mux.closed.then(() => this.#forget(mux))
    })
  }

  /**
   * @throws CloisterError `agent.request-denied` for a target that the workload does not name; MuxResetError; the signal's reason
   */
  async open(target: string, signal: AbortSignal): Promise<Duplex> {
    if (!this.#targets.has(target))
      throw new CloisterError('agent.request-denied', { where: `network.targets: ${target}` })
    signal.throwIfAborted()
    const mux = await orAborted(this.#session.promise, signal)
    return await mux.open(target, signal)
  }

  #forget(closed: MuxConnection): void {
    if (this.#current !== closed) return
    this.#current = undefined
    this.#session = Promise.withResolvers()
  }
}
