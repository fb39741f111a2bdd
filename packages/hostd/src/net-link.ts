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
  /** Called whenever the guest has opened a session. */
  readonly onOpen?: () => void
  /** Whether the agent may be replaced while the guest runs, as one that the VM's owner installed. Absent: its end is that of the guest. */
  readonly isReplaceable?: boolean
}

/** The one target of the guest. */
const CHANNEL = 'channel'
/** Between two sessions: a guest that breaks each at once costs next to nothing. */
const REOPEN_MS = 250
/** An agent answers at once, under emulation and load in a second: who does not is no longer there. */
const MUTE_MS = 5_000

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
   * @throws CloisterError `workload.not-running` when the guest ends meanwhile, `guest.no-answer` when it refuses, or does not
   * serve before the signal fires
   */
  async connectChannel(signal: AbortSignal): Promise<Duplex> {
    const either = AbortSignal.any([signal, this.#stop.signal])
    try {
      const mux = await abortable(this.#mux.promise, either)
      return await (this.#options.isReplaceable === true
        ? this.#openOrRenew(mux, either)
        : mux.open(CHANNEL, either))
    } catch (cause) {
      if (this.#stop.signal.aborted) throw new CloisterError('workload.not-running', { cause })
      throw new CloisterError('guest.no-answer', { where: 'guest, channel', cause })
    }
  }

  /** The port knows no connections, so a session with an agent that is gone stands until somebody sees that it is not answered. */
  async #openOrRenew(mux: MuxConnection, signal: AbortSignal): Promise<Duplex> {
    const soon = AbortSignal.timeout(MUTE_MS)
    try {
      return await mux.open(CHANNEL, AbortSignal.any([signal, soon]))
    } catch (error) {
      if (signal.aborted || !soon.aborted) throw error
    }
    mux.close()
    await abortable(mux.closed, signal)
    const next = await abortable(this.#mux.promise, signal)
    return next.open(CHANNEL, signal)
  }

  close(): void {
    this.#stop.abort()
    if (this.#isOpen) void this.#mux.promise.then((mux) => mux.close())
  }

  async #keepOpen(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      // What ends a session is the end of this link, or of the VM, which is watched elsewhere, or the guest's own doing.
      await this.#serveOnce(signal).catch(() => undefined)
      await sleep(REOPEN_MS, undefined, { signal }).catch(() => undefined)
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
    this.#options.onOpen?.()
    await mux.closed
    this.#isOpen = false
    this.#mux = Promise.withResolvers()
  }
}
