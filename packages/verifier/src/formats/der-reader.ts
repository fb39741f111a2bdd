/**
 * DER (ITU-T X.690) read front to back by schema. Strict: definite, minimal lengths; one-byte tags; minimal
 * INTEGERs; nothing left over. Depth is bounded by the schema that calls it, never by the input.
 */
import { equalsRange } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { oidText } from './oid-text.ts'

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  printableString: 0x13,
  teletexString: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  visibleString: 0x1a,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const

/** Tag of an EXPLICIT (constructed) or IMPLICIT primitive context field. */
export function contextTag(number: number, form: 'constructed' | 'primitive'): number {
  return (form === 'constructed' ? 0xa0 : 0x80) | number
}

/** One element as a range of the outermost bytes; a view is made only of what is asked for. */
export class DerElement {
  readonly tag: number
  readonly #bytes: Uint8Array
  readonly #start: number
  readonly #contents: number
  readonly #end: number

  constructor(bytes: Uint8Array, start: number, contents: number, end: number) {
    this.tag = bytes[start] as number
    this.#bytes = bytes
    this.#start = start
    this.#contents = contents
    this.#end = end
  }

  /** Header and contents, a view into the input. */
  get raw(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#end)
  }

  get contents(): Uint8Array {
    return this.#bytes.subarray(this.#contents, this.#end)
  }

  /** Reads the contents of a constructed element. */
  open(format: string, base: number): DerReader {
    return new DerReader(format, this.#bytes, base, this.#contents, this.#end)
  }

  /** Reads the element again, from its header on. */
  again(format: string, base: number): DerReader {
    return new DerReader(format, this.#bytes, base, this.#start, this.#end)
  }

  /** Whether two elements are the same bytes. */
  equals(other: DerElement): boolean {
    return equalsRange(this.#bytes, this.#start, this.#end, other.raw)
  }
}

/**
 * Works on a range of the outermost bytes, so that entering an element makes no view of it: a view costs more memory than most elements have bytes, and
 * hostile lists have many.
 */
export class DerReader {
  readonly #format: string
  readonly #bytes: Uint8Array
  readonly #base: number
  readonly #end: number
  #offset: number
  /** Of the element that was read last. */
  #contents = 0

  /**
   * @param base - offset of `bytes` in the outermost input, for error messages
   * @param start, end - of what is read, in `bytes`
   */
  constructor(format: string, bytes: Uint8Array, base = 0, start = 0, end = bytes.length) {
    this.#format = format
    this.#bytes = bytes
    this.#base = base
    this.#offset = start
    this.#end = end
  }

  get done(): boolean {
    return this.#offset === this.#end
  }

  /** Tag of the next element, undefined at the end. */
  peek(): number | undefined {
    return this.done ? undefined : this.#bytes[this.#offset]
  }

  any(field: string): DerElement {
    const start = this.#offset
    this.#next(field)
    return new DerElement(this.#bytes, start, this.#contents, this.#offset)
  }

  element(tag: number, field: string): DerElement {
    this.#expect(tag, field)
    return this.any(field)
  }

  /** The element if the next one has that tag. */
  optional(tag: number, field: string): DerElement | undefined {
    return this.peek() === tag ? this.any(field) : undefined
  }

  /** Contents of an element of that tag. */
  contents(tag: number, field: string): Uint8Array {
    this.#pass(tag, field)
    return this.#view()
  }

  /** What is made of the contents of an element of that tag, without a view of them. */
  read<Wanted, Value>(
    tag: number,
    field: string,
    read: (bytes: Uint8Array, start: number, end: number, wanted: Wanted) => Value,
    wanted: Wanted,
  ): Value {
    this.#pass(tag, field)
    return read(this.#bytes, this.#contents, this.#offset, wanted)
  }

  /** Offset of the next element in the outermost bytes. */
  get offset(): number {
    return this.#offset
  }

  /**
   * Opens a constructed element in place, for lists of many: its parts are read next, by this reader. @returns the offset where it ends, for the caller to
   * compare or to {@link leave} for
   */
  descend(tag: number, field: string): number {
    this.#pass(tag, field)
    const end = this.#offset
    this.#offset = this.#contents
    return end
  }

  /** Passes what is left of an element that was opened by {@link descend}. */
  leave(end: number): void {
    this.#offset = end
  }

  /** An element that was opened by {@link descend} must end here. */
  close(end: number, field: string): void {
    if (this.#offset !== end) this.fail(field, 'has another length')
  }

  /** What was read since an offset, as a view. */
  since(start: number): Uint8Array {
    return this.#bytes.subarray(start, this.#offset)
  }

  /** Passes an INTEGER. */
  passInteger(field: string): void {
    this.#passInteger(field)
  }

  /** Passes an element of that tag if all its contents are ASCII; else nothing is passed. */
  passAscii(tag: number, field: string): boolean {
    const start = this.#offset
    this.#pass(tag, field)
    for (let at = this.#contents; at < this.#offset; at++)
      if ((this.#bytes[at] as number) >= 0x80) {
        this.#offset = start
        return false
      }
    return true
  }

  /** Passes an element whatever its tag. */
  pass(field: string): void {
    this.#next(field)
  }

  /** Opens a constructed element. */
  enter(tag: number, field: string): DerReader {
    this.#pass(tag, field)
    return new DerReader(this.#format, this.#bytes, this.#base, this.#contents, this.#offset)
  }

  open(element: DerElement): DerReader {
    return element.open(this.#format, this.#base)
  }

  /** Reads an element again, from its header on. */
  again(element: DerElement): DerReader {
    return element.again(this.#format, this.#base)
  }

  sequence(field: string): DerReader {
    return this.enter(TAG.sequence, field)
  }

  oid(field: string): string {
    this.#pass(TAG.oid, field)
    return (
      oidText(this.#bytes, this.#contents, this.#offset) ??
      this.fail(field, 'malformed object identifier')
    )
  }

  /** Contents of an INTEGER: big-endian two's complement, minimal. */
  integer(field: string): Uint8Array {
    this.#passInteger(field)
    return this.#view()
  }

  /** A non-negative INTEGER below 2^31. */
  smallInteger(field: string): number {
    this.#passInteger(field)
    return (
      smallInteger(this.#bytes, this.#contents, this.#offset) ??
      this.fail(field, 'integer out of range')
    )
  }

  boolean(field: string): boolean {
    this.#pass(TAG.boolean, field)
    const value = this.#bytes[this.#contents]
    if (this.#offset !== this.#contents + 1 || (value !== 0 && value !== 0xff))
      this.fail(field, 'boolean is neither 00 nor FF')
    return value === 0xff
  }

  octetString(field: string): Uint8Array {
    return this.contents(TAG.octetString, field)
  }

  /** A BIT STRING of whole bytes. */
  bitStringBytes(field: string): Uint8Array {
    this.#pass(TAG.bitString, field)
    if (this.#contents === this.#offset || this.#bytes[this.#contents] !== 0)
      this.fail(field, 'bit string is not of whole bytes')
    return this.#bytes.subarray(this.#contents + 1, this.#offset)
  }

  end(): void {
    if (!this.done) this.fail('end', `${this.#end - this.#offset} bytes too many`)
  }

  fail(field: string, problem: string): never {
    throw new FormatError(this.#format, field, this.#base + this.#offset, problem)
  }

  #pass(tag: number, field: string): void {
    this.#expect(tag, field)
    this.#next(field)
  }

  #passInteger(field: string): void {
    this.#pass(TAG.integer, field)
    if (!isMinimalInteger(this.#bytes, this.#contents, this.#offset))
      this.fail(field, 'integer is not minimal')
  }

  /** Contents of the element that was read last. */
  #view(): Uint8Array {
    return this.#bytes.subarray(this.#contents, this.#offset)
  }

  #expect(tag: number, field: string): void {
    const found = this.peek()
    if (found !== tag)
      this.fail(field, `tag ${found === undefined ? 'missing' : hex(found)}, wanted ${hex(tag)}`)
  }

  /** Passes an element. @returns its tag */
  #next(field: string): number {
    const start = this.#offset
    const tag = this.#byte(start, field)
    if ((tag & 0x1f) === 0x1f) this.fail(field, 'tag of more than one byte')
    let cursor = start + 1
    let length = this.#byte(cursor++, field)
    if (length > 0x80) {
      const size = length - 0x80
      if (size > 4) this.fail(field, 'length of more than four bytes')
      length = 0
      for (let index = 0; index < size; index++) length = length * 256 + this.#byte(cursor++, field)
      if (length < 0x80 || length < 256 ** (size - 1)) this.fail(field, 'length is not minimal')
    } else if (length === 0x80) this.fail(field, 'indefinite length')
    const left = this.#end - cursor
    if (length > left) this.fail(field, `needs ${length} bytes, ${left} left`)
    this.#contents = cursor
    this.#offset = cursor + length
    return tag
  }

  #byte(offset: number, field: string): number {
    if (offset >= this.#end) this.fail(field, 'ends too early')
    return this.#bytes[offset] as number
  }
}

/** Parses one SEQUENCE that fills the input. */
export function readSequence(format: string, bytes: Uint8Array): DerReader {
  const outer = new DerReader(format, bytes)
  const inner = outer.sequence(format)
  outer.end()
  return inner
}

export function isMinimalInteger(bytes: Uint8Array, start = 0, end = bytes.length): boolean {
  if (end - start < 2) return start < end
  const [first, second] = [bytes[start] as number, bytes[start + 1] as number]
  return !((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))
}

/** Value of a non-negative INTEGER's contents below 2^31, else undefined. */
function smallInteger(bytes: Uint8Array, start: number, end: number): number | undefined {
  if (end - start > 4 || (bytes[start] as number) >= 0x80) return undefined
  let value = 0
  for (let at = start; at < end; at++) value = value * 256 + (bytes[at] as number)
  return value
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(2, '0')}`
}
