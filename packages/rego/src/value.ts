/**
 * Rego's values. Null, booleans, strings and numbers are JavaScript's own (see `number.ts`); arrays are read-only
 * arrays; sets and objects have types of their own, because their members and keys may be any value.
 * `undefined` is Rego's undefined and never part of a value.
 */
import { compareNumbers, formatNumber } from './number.ts'

export type Value =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly Value[]
  | RegoSet
  | RegoObject

/** What a `Map` can hold a value under: a primitive, or text that no other value has. */
export type Key = null | boolean | number | bigint | string

/** No string value is used unescaped as a key when it starts with this. */
const MARK = '\u0000'

/** The key of a value: equal values have the same, different values never. */
export function keyOf(value: Value): Key {
  if (typeof value === 'string') return value.charCodeAt(0) === 0 ? `${MARK}s${value}` : value
  if (typeof value !== 'object' || value === null) return value
  return `${MARK}c${stringify(value)}`
}

/** An immutable set; iterates in Rego's order. */
export class RegoSet {
  readonly #members: Map<Key, Value>
  #sorted: readonly Value[] | undefined

  /** Takes `members` over: the caller must not change it afterwards. */
  constructor(members: Map<Key, Value>) {
    this.#members = members
  }

  static of(values: Iterable<Value>): RegoSet {
    const members = new Map<Key, Value>()
    for (const value of values) members.set(keyOf(value), value)
    return new RegoSet(members)
  }

  get size(): number {
    return this.#members.size
  }

  has(value: Value): boolean {
    return this.#members.has(keyOf(value))
  }

  /** The members in no stated order. */
  unsorted(): IterableIterator<Value> {
    return this.#members.values()
  }

  /** The members in Rego's order. */
  sorted(): readonly Value[] {
    this.#sorted ??= [...this.#members.values()].sort(compare)
    return this.#sorted
  }
}

/** An immutable object with keys of any type; iterates in the order of its keys. */
export class RegoObject {
  readonly #values: Map<Key, Value>
  /** The keys that are not their own {@link Key}. */
  readonly #composite: Map<Key, Value> | undefined
  #sorted: readonly Value[] | undefined

  private constructor(values: Map<Key, Value>, composite?: Map<Key, Value>) {
    this.#values = values
    this.#composite = composite
  }

  static readonly empty = new RegoObject(new Map())

  static of(entries: Iterable<readonly [Value, Value]>): RegoObject {
    const builder = new ObjectBuilder()
    for (const [key, value] of entries) builder.set(key, value)
    return builder.build()
  }

  /** For {@link ObjectBuilder}. */
  static adopt(values: Map<Key, Value>, composite?: Map<Key, Value>): RegoObject {
    return new RegoObject(values, composite)
  }

  get size(): number {
    return this.#values.size
  }

  get(key: Value): Value | undefined {
    return this.#values.get(keyOf(key))
  }

  has(key: Value): boolean {
    return this.#values.has(keyOf(key))
  }

  /** The keys in Rego's order. */
  keys(): readonly Value[] {
    this.#sorted ??= this.#unsortedKeys().sort(compare)
    return this.#sorted
  }

  #unsortedKeys(): Value[] {
    const composite = this.#composite
    if (composite === undefined) return [...this.#values.keys()]
    return Array.from(this.#values.keys(), (key) => composite.get(key) ?? key)
  }

  /** The values in no stated order. */
  unsortedValues(): IterableIterator<Value> {
    return this.#values.values()
  }

  /** Keys and values in the order of the keys. */
  *entries(): IterableIterator<[Value, Value]> {
    for (const key of this.keys()) yield [key, this.get(key) as Value]
  }

  /** A builder that starts with these entries. */
  toBuilder(): ObjectBuilder {
    return new ObjectBuilder(new Map(this.#values), this.#composite && new Map(this.#composite))
  }
}

/** Gathers the entries of an object; the last value of a key wins. */
export class ObjectBuilder {
  #values: Map<Key, Value>
  #composite: Map<Key, Value> | undefined

  constructor(values = new Map<Key, Value>(), composite?: Map<Key, Value>) {
    this.#values = values
    this.#composite = composite
  }

  get(key: Value): Value | undefined {
    return this.#values.get(keyOf(key))
  }

  get size(): number {
    return this.#values.size
  }

  set(key: Value, value: Value): void {
    const id = keyOf(key)
    if (id !== key) (this.#composite ??= new Map()).set(id, key)
    this.#values.set(id, value)
  }

  delete(key: Value): void {
    const id = keyOf(key)
    this.#values.delete(id)
    this.#composite?.delete(id)
  }

  /** The object. The builder must not be used afterwards. */
  build(): RegoObject {
    return RegoObject.adopt(this.#values, this.#composite)
  }
}

export type TypeName = 'null' | 'boolean' | 'number' | 'string' | 'array' | 'object' | 'set'

export function typeName(value: Value): TypeName {
  switch (typeof value) {
    case 'boolean':
      return 'boolean'
    case 'number':
    case 'bigint':
      return 'number'
    case 'string':
      return 'string'
    default:
      if (value === null) return 'null'
      if (value instanceof RegoSet) return 'set'
      return value instanceof RegoObject ? 'object' : 'array'
  }
}

export function isArray(value: Value): value is readonly Value[] {
  return Array.isArray(value)
}

const ORDER: Readonly<Record<TypeName, number>> = {
  null: 0,
  boolean: 1,
  number: 2,
  string: 3,
  array: 4,
  object: 5,
  set: 6,
}

/** Rego's total order: by type, then by value; strings by code point, objects by keys first. */
export function compare(left: Value, right: Value): number {
  if (left === right) return 0
  const leftType = typeName(left)
  const rightType = typeName(right)
  if (leftType !== rightType) return ORDER[leftType] - ORDER[rightType]
  switch (leftType) {
    case 'null':
      return 0
    case 'boolean':
      return left === false ? -1 : 1
    case 'number':
      return compareNumbers(left as number, right as number)
    case 'string':
      return compareStrings(left as string, right as string)
    case 'array':
      return compareArrays(left as Value[], right as Value[])
    case 'set':
      return compareArrays((left as RegoSet).sorted(), (right as RegoSet).sorted())
    case 'object':
      return compareObjects(left as RegoObject, right as RegoObject)
    default:
      return leftType satisfies never
  }
}

function compareArrays(left: readonly Value[], right: readonly Value[]): number {
  const common = Math.min(left.length, right.length)
  for (let at = 0; at < common; at++) {
    const order = compare(left[at] as Value, right[at] as Value)
    if (order !== 0) return order
  }
  return left.length - right.length
}

function compareObjects(left: RegoObject, right: RegoObject): number {
  const leftKeys = left.keys()
  const rightKeys = right.keys()
  const common = Math.min(leftKeys.length, rightKeys.length)
  for (let at = 0; at < common; at++) {
    const key = leftKeys[at] as Value
    const order = compare(key, rightKeys[at] as Value)
    if (order !== 0) return order
    const values = compare(left.get(key) as Value, right.get(key) as Value)
    if (values !== 0) return values
  }
  return leftKeys.length - rightKeys.length
}

/** By code point, which is the order of the UTF-8 bytes. UTF-16 order differs only around surrogates. */
export function compareStrings(left: string, right: string): number {
  const common = Math.min(left.length, right.length)
  for (let at = 0; at < common; at++) {
    const a = left.charCodeAt(at)
    const b = right.charCodeAt(at)
    if (a !== b) return isSurrogate(a) === isSurrogate(b) ? a - b : isSurrogate(a) ? 1 : -1
  }
  return left.length - right.length
}

function isSurrogate(code: number): boolean {
  return code >= 0xd800 && code <= 0xdfff
}

export function equal(left: Value, right: Value): boolean {
  if (left === right) return true
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null)
    return false
  if (isArray(left)) return isArray(right) && equalArrays(left, right)
  if (left instanceof RegoSet) return right instanceof RegoSet && equalSets(left, right)
  return right instanceof RegoObject && equalObjects(left, right)
}

function equalArrays(left: readonly Value[], right: readonly Value[]): boolean {
  if (left.length !== right.length) return false
  for (let at = 0; at < left.length; at++)
    if (!equal(left[at] as Value, right[at] as Value)) return false
  return true
}

function equalSets(left: RegoSet, right: RegoSet): boolean {
  if (left.size !== right.size) return false
  for (const member of left.unsorted()) if (!right.has(member)) return false
  return true
}

function equalObjects(left: RegoObject, right: RegoObject): boolean {
  if (left.size !== right.size) return false
  for (const [key, value] of left.entries()) {
    const other = right.get(key)
    if (other === undefined || !equal(value, other)) return false
  }
  return true
}

/** One member of a collection: an array's index, an object's key, a set's member itself. Undefined: none. */
export function lookup(collection: Value, key: Value): Value | undefined {
  if (collection instanceof RegoObject) return collection.get(key)
  if (Array.isArray(collection))
    return typeof key === 'number' ? (collection[key] as Value) : undefined
  if (collection instanceof RegoSet) return collection.has(key) ? key : undefined
  return undefined
}

/** Rego's own notation: sets in braces, any key, sorted. Different values give different text. */
export function stringify(value: Value): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value)
    case 'number':
    case 'bigint':
      return formatNumber(value)
    case 'boolean':
      return value ? 'true' : 'false'
    default:
      return value === null ? 'null' : stringifyCollection(value)
  }
}

function stringifyCollection(value: readonly Value[] | RegoSet | RegoObject): string {
  if (isArray(value)) return `[${value.map(stringify).join(', ')}]`
  if (value instanceof RegoSet)
    return value.size === 0 ? 'set()' : `{${value.sorted().map(stringify).join(', ')}}`
  const entries = value
    .keys()
    .map((key) => `${stringify(key)}: ${stringify(value.get(key) as Value)}`)
  return `{${entries.join(', ')}}`
}
