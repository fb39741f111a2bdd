/**
 * The host's side of a guest's byte streams (port `cloister.net`): carries the targets of a fixed list, and opens the guest's `channel`.
 * Attacker-controlled: targets asked for and all bytes. Streams and buffers are bounded by the mux.
 */
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { CloisterError } from '@cloister/protocol/error'
import { MuxConnection } from '@cloister/protocol/mux/connection'
import { MUX_FRAMING } from '@cloister/protocol/mux/frame'
import { openPortSession } from '@cloister/protocol/port-session'
import type { Carrier } from './carriers.ts'
import { abortable, connectPort } from './guest-link.ts'

export interface NetLinkOptions {
  /** Host side of the port `cloister.net`. */
  readonly socketPath: string
  /** By target name; other names are refused. */
  readonly targets: ReadonlyMap<string, Carrier>
}

/** Between two sessions: a guest that breaks each at once costs next to nothing. */
const REOPEN_MS = 250

export class NetLink {
  readonly #options: NetLinkOptions
  readonly #stop = new AbortController()
  /** The session, or the next one. */
  #mux = Promise.withResolvers<MuxConnection>()
  #isOpen = false

  constructor(options: NetLinkOptions) {
    this.#options = options
    void this.#keepOpen()
  }

  /**
   * A stream to the agent's channel; waits for the guest to serve streams.
   *
   * @throws CloisterError `guest.no-answer` when it does not before the signal fires, or refuses
   */
  async connectChannel(signal: AbortSignal): Promise<Duplex> {
    try {
      const mux = await abortable(this.#mux.promise, signal)
      return await mux.open('channel', signal)
    } catch (error) {
      throw new CloisterError('guest.no-answer', { where: 'guest, channel', cause: error })
    }
  }

  close(): void {
    this.#stop.abort()
    if (this.#isOpen) void this.#mux.promise.then((mux) => mux.close())
  }

  async #keepOpen(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      try {
        await this.#serveOnce(signal)
        await sleep(REOPEN_MS, undefined, { signal })
      } catch {
        // Only the end of this link, or a port that goes away with its VM, whose end is watched elsewhere.
      }
    }
  }

  async #serveOnce(signal: AbortSignal): Promise<void> {
    const socket = await connectPort(this.#options.socketPath, signal)
    const channel = await openPortSession(socket, MUX_FRAMING, { signal })
    const mux = new MuxConnection(channel, {
      side: 'host',
      accepts: (target) => this.#options.targets.has(target),
      onStream: (stream, target) => this.#options.targets.get(target)?.(stream),
    })
    this.#mux.resolve(mux)
    this.#isOpen = true
    await mux.closed
    this.#isOpen = false
    this.#mux = Promise.withResolvers()
  }
}
