/** Reads members of hostile CBOR maps, each with its type and bound. All throw FormatError. */
import { FormatError } from '../bytes/format-error.ts'
import type { CborItem, CborKey, CborMap } from './cbor-item.ts'

/** Lengths in bytes that a byte string may have. */
export interface SizeRange {
  readonly least: number
  readonly most: number
}

export function exactly(size: number): SizeRange {
  return { least: size, most: size }
}

/** The members of one map, by key; {@link end} refuses those that nobody read. */
export class CborFields {
  readonly #format: string
  readonly #map: CborMap
  readonly #read = new Set<CborKey>()

  constructor(format: string, item: CborItem) {
    if (item.kind !== 'map') throw new FormatError(format, 'map', 0, `is ${item.kind}`)
    this.#format = format
    this.#map = item.entries
  }

  /** Absent, or null where the format writes an absent value so. */
  optional<Value>(key: CborKey, read: (key: CborKey) => Value): Value | undefined {
    const item = this.#map.get(key)
    const absent = item === undefined || (item.kind === 'simple' && item.value === null)
    this.#read.add(key)
    return absent ? undefined : read(key)
  }

  has(key: CborKey): boolean {
    return this.#map.has(key)
  }

  item(key: CborKey): CborItem {
    this.#read.add(key)
    return this.#map.get(key) ?? this.fail(key, 'is missing')
  }

  bytes(key: CborKey, { least, most }: SizeRange): Uint8Array {
    const item = this.item(key)
    if (item.kind !== 'bytes') return this.fail(key, `is ${item.kind}, wanted bytes`)
    const { length } = item.value
    if (length < least || length > most)
      this.fail(key, `${length} bytes, wanted ${least} to ${most}`)
    return item.value
  }

  text(key: CborKey): string {
    const item = this.item(key)
    if (item.kind !== 'text' || item.value === '') return this.fail(key, 'is no text, or empty')
    return item.value
  }

  /** A whole number from 0 to the limit. */
  number(key: CborKey, limit: number): number {
    const item = this.item(key)
    const value = item.kind === 'int' ? item.value : -1
    if (typeof value !== 'number' || value < 0 || value > limit)
      return this.fail(key, `not a whole number up to ${limit}`)
    return value
  }

  array(key: CborKey, { least, most }: SizeRange): readonly CborItem[] {
    const item = this.item(key)
    if (item.kind !== 'array') return this.fail(key, `is ${item.kind}, wanted an array`)
    if (item.items.length < least || item.items.length > most)
      this.fail(key, `${item.items.length} entries, wanted ${least} to ${most}`)
    return item.items
  }

  map(key: CborKey): CborMap {
    const item = this.item(key)
    return item.kind === 'map' ? item.entries : this.fail(key, `is ${item.kind}, wanted a map`)
  }

  /** Members of a meaning that we do not know are an error. */
  end(): void {
    for (const key of this.#map.keys()) if (!this.#read.has(key)) this.fail(key, 'is unknown')
  }

  fail(key: CborKey, problem: string): never {
    throw new FormatError(this.#format, `${key}`.slice(0, 64), 0, problem)
  }
}
