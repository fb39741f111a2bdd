/**
 * Hostile JSON as values, where its shape is not known beforehand or not worth a reader of its own. Stricter than the engine's parser: no name stands twice
 * in an object, depth is bounded, and so is the number of values by the length, for an empty object takes twenty times the memory of its text.
 */
import { toUtf8 } from '../bytes/text.ts'
import { JsonReader } from './json-reader.ts'

const QUOTE = 0x22
const OPEN_OBJECT = 0x7b
const OPEN_LIST = 0x5b
/** Values that any text may have, and the bytes of it that pay for each further one: a short member takes 500 bytes. */
const FREE_VALUES = 300
const BYTES_PER_VALUE = 192
const LONG_INTEGER = /^\d{16,20}$/

/** @throws FormatError when it is not JSON in UTF-8, repeats a name, nests too deeply or has too many values */
export function parseJson(format: string, input: Uint8Array | string): unknown {
  const bytes = bytesOf(input)
  const most = FREE_VALUES + bytes.length / BYTES_PER_VALUE
  return new ValueReader(new JsonReader(format, bytes), most, false).whole('text')
}

/**
 * As {@link parseJson}, for forms that write bytes as lists of numbers and 64-bit words as one: lists of whole numbers below 256 come as Uint8Array, and
 * whole numbers that a double cannot hold as bigint.
 *
 * @throws FormatError
 */
export function parseCompactJson(format: string, input: Uint8Array | string): unknown {
  const bytes = bytesOf(input)
  const most = FREE_VALUES + bytes.length / BYTES_PER_VALUE
  return new ValueReader(new JsonReader(format, bytes), most, true).whole('text')
}

/**
 * As {@link parseJson}, with as many values as there are: for what somebody trusted has signed.
 *
 * @param field - named by errors about the whole
 * @throws FormatError
 */
export function parseSignedJson(format: string, bytes: Uint8Array, field: string): unknown {
  return new ValueReader(new JsonReader(format, bytes), bytes.length, false).whole(field)
}

function bytesOf(input: Uint8Array | string): Uint8Array {
  return typeof input === 'string' ? toUtf8(input) : input
}

class ValueReader {
  readonly #json: JsonReader
  readonly #compact: boolean
  #left: number

  constructor(json: JsonReader, most: number, compact: boolean) {
    this.#json = json
    this.#left = most
    this.#compact = compact
  }

  whole(field: string): unknown {
    const value = this.#value(field)
    this.#json.end()
    return value
  }

  #value(field: string): unknown {
    if (this.#left-- < 1) this.#json.fail(field, 'too many values for its length')
    switch (this.#json.firstByte) {
      case QUOTE:
        return this.#json.anyText(field)
      case OPEN_OBJECT:
        return this.#object(field)
      case OPEN_LIST:
        return (this.#compact ? this.#json.byteList() : undefined) ?? this.#list(field)
      default:
        return this.#scalar(field)
    }
  }

  #object(field: string): object {
    const object: Record<string, unknown> = {}
    this.#json.openObject(field)
    for (let name = this.#json.anyMember(); name !== undefined; name = this.#json.anyMember()) {
      const shown = name.slice(0, 64)
      if (Object.hasOwn(object, name)) this.#json.fail(shown, 'stands twice')
      const value = this.#value(shown)
      // Assigned, this name would change the prototype.
      if (name === '__proto__') Object.defineProperty(object, name, { value, ...ORDINARY })
      else object[name] = value
    }
    return object
  }

  #list(field: string): unknown[] {
    const list: unknown[] = []
    this.#json.openList(field)
    while (this.#json.entry()) list.push(this.#value(field))
    return list
  }

  #scalar(field: string): unknown {
    const text = this.#json.scalar(field)
    switch (text) {
      case 'true':
        return true
      case 'false':
        return false
      case 'null':
        return null
      default: {
        const number = Number(text)
        const exact = !this.#compact || Number.isSafeInteger(number) || !LONG_INTEGER.test(text)
        return exact ? number : BigInt(text)
      }
    }
  }
}

const ORDINARY = { enumerable: true, configurable: true, writable: true } as const
