/**
 * Gives memory back after the start and after a load. V8 collects when something is allocated, so a broker that was busy and is idle again would keep what the load left
 * behind, and one that nobody asks yet what the start left: 20 MiB. Collecting takes some 0.1 s, in which nobody is answered: it waits until next to nobody asks.
 */
import { collectGarbage } from '@cloister/protocol/collect-garbage'

const LOOK_MS = 10_000
/** Requests between two looks that still count as idle: somebody reads the metrics. */
const IDLE_REQUESTS = 20
/** Requests and ended sessions whose remains are worth a collection. */
const WORTHWHILE = 200

export interface IdleCollectionOptions {
  /** Forgets what has ended. @returns how many */
  readonly sweep: () => number
  /** Absent: V8's collector, which also frees compiled code that is not in use. */
  readonly collect?: () => void
}

export class IdleCollection implements Disposable {
  readonly #options: IdleCollectionOptions
  #timer: NodeJS.Timeout | undefined
  #requests = 0
  /** The start is worth one. */
  #remains = WORTHWHILE

  constructor(options: IdleCollectionOptions) {
    this.#options = options
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.look()
    }, LOOK_MS).unref()
  }

  /** To be told of each request. */
  count(): void {
    this.#requests += 1
  }

  look(): void {
    const { sweep, collect = collectAll } = this.#options
    const idle = this.#requests <= IDLE_REQUESTS
    this.#remains += this.#requests + sweep()
    this.#requests = 0
    if (!idle || this.#remains < WORTHWHILE) return
    this.#remains = 0
    collect()
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}

function collectAll(): void {
  collectGarbage({ type: 'major', flavor: 'last-resort' })
}
