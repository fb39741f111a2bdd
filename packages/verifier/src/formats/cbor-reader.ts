/**
 * Parses CBOR (RFC 8949) strictly: shortest heads, no duplicate keys, keys that are integers or text, no floating point, no strings
 * of indefinite length, nothing left over. Arrays and maps may be of indefinite length (AWS Nitro's are).
 */
import { ByteReader } from '../bytes/reader.ts'
import { FormatError } from '../bytes/format-error.ts'
import { fromUtf8 } from '../bytes/text.ts'
import { BREAK, INDEFINITE, MAJOR, SIMPLE } from './cbor-item.ts'
import type { CborItem, CborKey } from './cbor-item.ts'

/** Items of one input: a bound on what hostile bytes can make us allocate. */
const MAX_ITEMS = 4096
const MAX_DEPTH = 16

/**
 * Parses one item that fills the input.
 *
 * @param format - as a reader knows it, for error messages
 * @throws FormatError
 */
export function parseCbor(format: string, bytes: Uint8Array): CborItem {
  const parser = new CborParser(format, bytes)
  const item = parser.item(0)
  parser.end()
  return item
}

const SIMPLE_VALUES: ReadonlyMap<number, boolean | null | undefined> = new Map([
  [SIMPLE.false, false],
  [SIMPLE.true, true],
  [SIMPLE.null, null],
  [SIMPLE.undefined, undefined],
])

/** Of the arguments in 1, 2, 4 and 8 bytes: smaller ones have a shorter form. */
const LEAST_ARGUMENTS = [24, 0x100, 0x10000, 0x1_0000_0000]

class CborParser {
  readonly #format: string
  readonly #bytes: Uint8Array
  readonly #reader: ByteReader
  #items = 0

  constructor(format: string, bytes: Uint8Array) {
    this.#format = format
    this.#bytes = bytes
    this.#reader = new ByteReader(format, bytes)
  }

  item(depth: number): CborItem {
    if (depth > MAX_DEPTH) this.#fail('item', 'nested too deep')
    if (++this.#items > MAX_ITEMS) this.#fail('item', `more than ${MAX_ITEMS} items`)
    const initial = this.#reader.u8('item')
    const major = initial >> 5
    const info = initial & 0x1f
    switch (major) {
      case MAJOR.unsigned:
        return { kind: 'int', value: this.#argument(info) }
      case MAJOR.negative:
        return { kind: 'int', value: negative(this.#argument(info)) }
      case MAJOR.bytes:
        return { kind: 'bytes', value: this.#reader.bytes(this.#count(info), 'byte string') }
      case MAJOR.text:
        return { kind: 'text', value: this.#text(info) }
      case MAJOR.array:
        return this.#array(info, depth)
      case MAJOR.map:
        return this.#map(info, depth)
      case MAJOR.tag:
        return { kind: 'tag', tag: this.#count(info), item: this.item(depth + 1) }
      default: {
        if (!SIMPLE_VALUES.has(info)) this.#fail('item', 'a float or an unknown simple value')
        return { kind: 'simple', value: SIMPLE_VALUES.get(info) }
      }
    }
  }

  end(): void {
    this.#reader.end()
  }

  #array(info: number, depth: number): CborItem {
    const items: CborItem[] = []
    const indefinite = this.#each(info, () => items.push(this.item(depth + 1)))
    return { kind: 'array', items, indefinite }
  }

  #map(info: number, depth: number): CborItem {
    const entries = new Map<CborKey, CborItem>()
    const indefinite = this.#each(info, () => {
      const key = this.#key(depth + 1)
      if (entries.has(key)) this.#fail('map', 'a key stands twice')
      entries.set(key, this.item(depth + 1))
    })
    return { kind: 'map', entries, indefinite }
  }

  /** @returns whether the container is of indefinite length */
  #each(info: number, readOne: () => void): boolean {
    if (info !== INDEFINITE) {
      // A count beyond what is left ends at the first item that is missing.
      const count = this.#argument(info)
      for (let index = 0; index < count; index++) readOne()
      return false
    }
    while (this.#bytes[this.#reader.offset] !== BREAK) readOne()
    this.#reader.u8('break')
    return true
  }

  #key(depth: number): CborKey {
    const key = this.item(depth)
    if (key.kind === 'int' || key.kind === 'text') return key.value
    return this.#fail('map', 'a key is neither integer nor text')
  }

  #text(info: number): string {
    return fromUtf8(this.#format, 'text', this.#reader.bytes(this.#count(info), 'text'))
  }

  #count(info: number): number {
    const value = this.#argument(info)
    return typeof value === 'number' ? value : this.#fail('length', 'out of range')
  }

  #argument(info: number): number | bigint {
    const value = this.#rawArgument(info)
    const least = LEAST_ARGUMENTS[info - 24]
    if (least !== undefined && value < least) this.#fail('head', 'not the shortest form')
    return value
  }

  #rawArgument(info: number): number | bigint {
    if (info < 24) return info
    switch (info) {
      case 24:
        return this.#reader.u8('argument')
      case 25:
        return this.#reader.u16be('argument')
      case 26:
        return this.#reader.u32be('argument')
      case 27:
        return narrow(this.#reader.u64be('argument'))
      default:
        return this.#fail('head', 'reserved, or a string of indefinite length')
    }
  }

  #fail(field: string, problem: string): never {
    throw new FormatError(this.#format, field, this.#reader.offset, problem)
  }
}

/** CBOR's negative integer of that argument. */
function negative(argument: number | bigint): number | bigint {
  return typeof argument === 'number' && argument < Number.MAX_SAFE_INTEGER
    ? -1 - argument
    : narrow(-1n - BigInt(argument))
}

function narrow(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}
