/**
 * What peers make the broker hold, within one bound for all of them. Beyond it the oldest goes of the peer that holds most: who takes much makes room for others, and who takes
 * little keeps it.
 */
interface Item {
  readonly holder: string
  size: number
}

interface Holder<Name> {
  /** Oldest first. */
  readonly names: Set<Name>
  size: number
}

export class Shares<Name> {
  readonly #limit: number
  readonly #items = new Map<Name, Item>()
  readonly #holders = new Map<string, Holder<Name>>()
  #size = 0

  /** @param limit - of all sizes together, in their unit */
  constructor(limit: number) {
    this.#limit = limit
  }

  /**
   * Takes up something, or more of it.
   *
   * @param holder - an address, as bounds have it; that of the first time counts
   * @returns what has to go for it, forgotten here; `name` itself too, where its holder has nothing older
   */
  add(name: Name, holder: string, size: number): readonly Name[] {
    const item = this.#items.get(name) ?? this.#begin(name, holder)
    item.size += size
    this.#holderOf(item.holder).size += size
    this.#size += size
    const gone: Name[] = []
    while (this.#size > this.#limit) gone.push(this.#removeOldest())
    return gone
  }

  remove(name: Name): void {
    const item = this.#items.get(name)
    if (item === undefined) return
    const holder = this.#holderOf(item.holder)
    this.#items.delete(name)
    holder.names.delete(name)
    holder.size -= item.size
    this.#size -= item.size
    if (holder.names.size === 0) this.#holders.delete(item.holder)
  }

  names(): readonly Name[] {
    return [...this.#items.keys()]
  }

  #begin(name: Name, holder: string): Item {
    const item = { holder, size: 0 }
    this.#items.set(name, item)
    this.#holderOf(holder).names.add(name)
    return item
  }

  #holderOf(address: string): Holder<Name> {
    const known = this.#holders.get(address)
    if (known !== undefined) return known
    const holder = { names: new Set<Name>(), size: 0 }
    this.#holders.set(address, holder)
    return holder
  }

  #removeOldest(): Name {
    const [first, ...others] = this.#holders.values()
    if (first === undefined) throw new TypeError('whatever has a size is held by somebody')
    const largest = others.reduce((most, other) => (other.size > most.size ? other : most), first)
    const [oldest] = largest.names
    if (oldest === undefined) throw new TypeError('a holder without anything was forgotten')
    this.remove(oldest)
    return oldest
  }
}
