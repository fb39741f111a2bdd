/**
 * Which refusals of strangers stand in the audit one by one. Beyond a number for each address, and one for all together, they are counted, and one entry tells how many there were:
 * who sends thousands fills neither the audit nor pushes its entries out.
 */
const WINDOW_MS = 10 * 60_000
const PER_ADDRESS = 10
const IN_ALL = 200
const ADDRESSES = 1024

/** What was counted of one address; `others` for those beyond what is remembered. */
export interface Counted {
  readonly address: string
  readonly refusals: number
}

interface Window {
  readonly endsAt: number
  readonly refusals: Map<string, number>
  recorded: number
}

export class RefusalTally {
  #window: Window | undefined

  /** @returns whether this refusal gets an entry of its own */
  take(address: string, now: number): boolean {
    const window = (this.#window ??= newWindow(now))
    const known = window.refusals.has(address) || window.refusals.size < ADDRESSES
    const name = known ? address : 'others'
    const refusals = (window.refusals.get(name) ?? 0) + 1
    window.refusals.set(name, refusals)
    if (refusals > PER_ADDRESS || window.recorded >= IN_ALL) return false
    window.recorded += 1
    return true
  }

  /** What a window that is over has counted beyond its entries, most first; then it is forgotten. */
  over(now: number): readonly Counted[] {
    const window = this.#window
    // A clock that goes back must not keep a window open.
    if (window === undefined || (now < window.endsAt && now >= window.endsAt - WINDOW_MS)) return []
    this.#window = undefined
    return [...window.refusals]
      .filter(([, refusals]) => refusals > PER_ADDRESS)
      .map(([address, refusals]) => ({ address, refusals }))
      .toSorted((a, b) => b.refusals - a.refusals)
  }
}

function newWindow(now: number): Window {
  return { endsAt: now + WINDOW_MS, refusals: new Map(), recorded: 0 }
}
