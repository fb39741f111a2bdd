/** Refs that have reached a place in the tree of documents and may go on to any name there. */
import type { DataNode } from '../compile/rule-tree.ts'
import { lookup, RegoObject, type Value } from '../value.ts'
import type { Context } from './context.ts'
import type { Documents } from './documents.ts'

/** A place in the tree of documents that a ref has reached, before anything there is evaluated. */
export class DataPosition {
  readonly #documents: Documents
  readonly #node: DataNode

  constructor(documents: Documents, node: DataNode) {
    this.#documents = documents
    this.#node = node
  }

  value(context: Context): Value | undefined {
    return this.#documents.materialize(context, this.#node)
  }

  child(context: Context, key: Value): Value | DataPosition | undefined {
    const masked = context.masks !== undefined && context.isMasked(this.#node.path)
    const node = typeof key === 'string' && !masked ? this.#node.children.get(key) : undefined
    if (node === undefined) {
      const base = context.base(this.#node.path)
      return base === undefined ? undefined : lookup(base, key)
    }
    if (node.rules !== undefined)
      return node.rules.kind === 'function' ? undefined : this.#documents.value(context, node.rules)
    return new DataPosition(this.#documents, node)
  }

  /** The names here, of rules, packages and base documents, in order. */
  keys(context: Context): Value[] {
    const base = context.base(this.#node.path)
    const names = new Set<Value>(base instanceof RegoObject ? base.keys() : [])
    if (context.masks === undefined || !context.isMasked(this.#node.path))
      for (const name of this.#node.children.keys()) names.add(name)
    return [...RegoObject.of(Array.from(names, (name) => [name, null])).keys()]
  }
}
