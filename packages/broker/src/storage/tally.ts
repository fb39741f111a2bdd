/**
 * Which decisions about strangers stand in the audit one by one. Beyond a number for each address in ten minutes, and one for all together, they are counted, and one entry tells
 * how many there were: who sends thousands neither fills the audit nor pushes its entries out.
 */
const WINDOW_MS = 10 * 60_000
const ADDRESSES = 1024

/** Entries in ten minutes. */
export interface TallyBounds {
  readonly perAddress: number
  readonly inAll: number
}

/** Of one address, beyond its entries. */
export interface Counted {
  readonly address: string
  readonly decisions: number
}

/** Since the last time that somebody took it; every decision without an entry is in it. */
export interface Count {
  readonly decisions: number
  /** Milliseconds since 1970, of the first and the last. */
  readonly first: number
  readonly last: number
  /** Most first. */
  readonly addresses: readonly Counted[]
  /** Of addresses beyond what is remembered. */
  readonly others: number
}

interface Window {
  readonly endsAt: number
  /** Decisions by address, those with an entry too. */
  readonly decisions: Map<string, number>
  recorded: number
}

/** No address looks like it. */
const OTHERS = 'others'

export class Tally {
  readonly #bounds: TallyBounds
  #window: Window = newWindow(0)
  readonly #counted = new Map<string, number>()
  #first = 0
  #last = 0

  constructor(bounds: TallyBounds) {
    this.#bounds = bounds
  }

  /** @returns whether this decision gets an entry of its own; otherwise it is counted */
  take(address: string, now: number): boolean {
    if (this.#isOver(now)) this.#window = newWindow(now)
    const { decisions } = this.#window
    const name = bounded(decisions, address)
    const nth = (decisions.get(name) ?? 0) + 1
    decisions.set(name, nth)
    if (nth <= this.#bounds.perAddress && this.#window.recorded < this.#bounds.inAll) {
      this.#window.recorded += 1
      return true
    }
    const counted = bounded(this.#counted, address)
    if (this.#counted.size === 0) this.#first = now
    this.#last = now
    this.#counted.set(counted, (this.#counted.get(counted) ?? 0) + 1)
    return false
  }

  /** Whether something was counted in ten minutes that are over. */
  isDue(now: number): boolean {
    return this.#counted.size > 0 && this.#isOver(now)
  }

  /** What was counted, which is forgotten then; the bounds of these ten minutes go on. @returns undefined for nothing */
  drain(): Count | undefined {
    if (this.#counted.size === 0) return undefined
    const all = [...this.#counted]
    this.#counted.clear()
    return {
      decisions: all.reduce((sum, [, decisions]) => sum + decisions, 0),
      first: this.#first,
      last: this.#last,
      addresses: all
        .filter(([address]) => address !== OTHERS)
        .map(([address, decisions]) => ({ address, decisions }))
        .toSorted((a, b) => b.decisions - a.decisions),
      others: all.find(([address]) => address === OTHERS)?.[1] ?? 0,
    }
  }

  /** A clock that goes back must not keep a window open. */
  #isOver(now: number): boolean {
    const { endsAt } = this.#window
    return now >= endsAt || now < endsAt - WINDOW_MS
  }
}

function bounded(known: ReadonlyMap<string, number>, address: string): string {
  return known.has(address) || known.size < ADDRESSES ? address : OTHERS
}

function newWindow(now: number): Window {
  return { endsAt: now + WINDOW_MS, decisions: new Map(), recorded: 0 }
}
