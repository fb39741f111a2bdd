/**
 * What the database says about names that are asked for again and again, bounded. Its owner forgets all of it whenever something changes. INVARIANT: one process at a time
 * has the database (it locks it), so that nothing changes behind it.
 */
const KEPT = 256

export class Remembered<Value> {
  readonly #values = new Map<string, Value>()

  /** Asks `read` where the name is not known; what is not there is asked for each time, for anybody can name it. */
  get(name: string, read: () => Value | undefined): Value | undefined {
    const known = this.#values.get(name)
    if (known !== undefined) return known
    const value = read()
    if (value === undefined) return undefined
    if (this.#values.size >= KEPT) this.#values.clear()
    this.#values.set(name, value)
    return value
  }

  forget(): void {
    this.#values.clear()
  }
}
