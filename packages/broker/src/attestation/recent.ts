/** What was put in last, within a bound on how long it is all together; the oldest goes. */
interface Kept<Value> {
  readonly value: Value
  readonly length: number
}

export class Recent<Value> {
  readonly #maxLength: number
  readonly #values = new Map<string, Kept<Value>>()
  #length = 0

  /** @param maxLength - in the unit of what {@link put} is told; one value alone may be longer */
  constructor(maxLength: number) {
    this.#maxLength = maxLength
  }

  get(name: string): Value | undefined {
    return this.#values.get(name)?.value
  }

  put(name: string, value: Value, length: number): void {
    this.#remove(name)
    this.#values.set(name, { value, length })
    this.#length += length
    for (const oldest of this.#values.keys()) {
      if (this.#length <= this.#maxLength || oldest === name) break
      this.#remove(oldest)
    }
  }

  #remove(name: string): void {
    this.#length -= this.#values.get(name)?.length ?? 0
    this.#values.delete(name)
  }
}
