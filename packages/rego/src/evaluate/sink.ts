/** Gathers what partial rules yield: members of sets and entries of (nested) objects. */
import { RegoError, type Location } from '../error.ts'
import { equal, keyOf, ObjectBuilder, RegoSet, type Key, type Value } from '../value.ts'

type Node =
  | { readonly kind: 'value'; readonly value: Value }
  | { readonly kind: 'set'; readonly members: Map<Key, Value> }
  | { readonly kind: 'object'; readonly entries: Map<Key, { readonly key: Value; node: Node }> }

export class Sink {
  readonly #root: Node
  #size = 0

  constructor(kind: 'set' | 'object') {
    this.#root = kind === 'set' ? { kind, members: new Map() } : { kind, entries: new Map() }
  }

  get isEmpty(): boolean {
    return this.#size === 0
  }

  /** Adds a member to the set at `keys`. */
  addMember(keys: readonly Value[], member: Value, loc: Location): void {
    const node = this.#at(keys, () => ({ kind: 'set', members: new Map() }), loc)
    if (node.kind !== 'set') conflict(loc)
    node.members.set(keyOf(member), member)
    this.#size++
  }

  /** Puts a value at `keys`; another value there is a conflict. */
  addValue(keys: readonly Value[], value: Value, loc: Location): void {
    const node = this.#at(keys, () => ({ kind: 'value', value }), loc)
    if (node.kind !== 'value' || !equal(node.value, value)) conflict(loc)
    this.#size++
  }

  /** Whether something stands at `keys`. */
  has(keys: readonly Value[]): boolean {
    let node: Node | undefined = this.#root
    for (const key of keys)
      node = node?.kind === 'object' ? node.entries.get(keyOf(key))?.node : undefined
    return node !== undefined
  }

  #at(keys: readonly Value[], create: () => Node, loc: Location): Node {
    let node = this.#root
    for (let at = 0; at < keys.length; at++) {
      if (node.kind !== 'object') conflict(loc)
      const key = keys[at] as Value
      const id = keyOf(key)
      let entry = node.entries.get(id)
      if (entry === undefined) {
        const isLast = at === keys.length - 1
        entry = { key, node: isLast ? create() : { kind: 'object', entries: new Map() } }
        node.entries.set(id, entry)
      }
      node = entry.node
    }
    return node
  }

  value(): Value {
    return finish(this.#root)
  }
}

function finish(node: Node): Value {
  if (node.kind === 'value') return node.value
  if (node.kind === 'set') return new RegoSet(node.members)
  const builder = new ObjectBuilder()
  for (const { key, node: child } of node.entries.values()) builder.set(key, finish(child))
  return builder.build()
}

function conflict(loc: Location): never {
  throw new RegoError(
    'rego.conflict',
    'rules must not produce multiple outputs: object keys must be unique',
    loc,
  )
}
