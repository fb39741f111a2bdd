/** Keeps values that the caller marked as secret out of explanations. */
import { isArray, lookup, RegoObject, RegoSet, type Value } from '../value.ts'

export const REDACTED = '[redacted]'

/** Shorter secrets are replaced where they stand alone, longer ones inside other texts as well. */
const FEWEST_CHARACTERS = 4

export class Redaction {
  readonly #paths: readonly (readonly string[])[]
  readonly #whole = new Set<Value>()
  readonly #parts: string[] = []

  /** @param paths - `input.token`, `data.keys.*.private`: `*` stands for any key or index */
  constructor(paths: readonly string[]) {
    this.#paths = paths.map((path) => path.split('.'))
  }

  /** Learns the secrets of an evaluation. */
  learn(input: Value | undefined, data: Value): void {
    for (const [root, ...rest] of this.#paths) {
      const document = root === 'input' ? input : root === 'data' ? data : undefined
      if (document !== undefined) this.#collect(document, rest)
    }
  }

  #collect(value: Value, path: readonly string[]): void {
    const [name, ...rest] = path
    if (name === undefined) {
      this.#mark(value)
      return
    }
    const members = name === '*' ? childrenOf(value) : [memberAt(value, name)]
    for (const member of members) if (member !== undefined) this.#collect(member, rest)
  }

  #mark(value: Value): void {
    if (typeof value === 'object' && value !== null) {
      for (const member of childrenOf(value)) this.#mark(member)
      return
    }
    // Truth values and null are everywhere: hiding them hides nothing.
    if (value === null || typeof value === 'boolean' || value === '') return
    this.#whole.add(value)
    const text = String(value)
    if (text.length >= FEWEST_CHARACTERS) this.#parts.push(text)
  }

  /** Whether a document path lies at or below a secret one. */
  hides(path: readonly string[] | undefined): boolean {
    if (path === undefined) return false
    return this.#paths.some(
      (secret) =>
        secret.length <= path.length &&
        secret.every((name, at) => name === '*' || name === path[at]),
    )
  }

  /** The value without secrets. */
  redact(value: Value): Value {
    if (this.#whole.size === 0) return value
    if (this.#whole.has(value)) return REDACTED
    if (typeof value === 'string')
      return this.#parts.some((part) => value.includes(part)) ? REDACTED : value
    if (typeof value !== 'object' || value === null) return value
    if (isArray(value)) return value.map((item) => this.redact(item))
    if (value instanceof RegoSet) return RegoSet.of(value.sorted().map((item) => this.redact(item)))
    return RegoObject.of(
      Array.from(
        value.entries(),
        ([key, member]) => [this.redact(key), this.redact(member)] as const,
      ),
    )
  }
}

function childrenOf(value: Value): Value[] {
  if (value instanceof RegoObject) return [...value.unsortedValues()]
  if (value instanceof RegoSet) return [...value.unsorted()]
  return typeof value === 'object' && value !== null && isArray(value) ? [...value] : []
}

function memberAt(value: Value, name: string): Value | undefined {
  const member = lookup(value, name)
  return member === undefined && /^\d+$/.test(name) ? lookup(value, Number(name)) : member
}
