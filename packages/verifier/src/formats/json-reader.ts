/**
 * JSON (RFC 8259) read front to back by schema, straight from bytes: what nobody asks for is checked and passed without text or objects made of it. Stricter
 * than the engine's parser: names that are asked for may not stand twice, and no name beside them may be spelt with escapes, so that no two
 * readers can understand the text differently.
 */
import { isTextAt } from '../bytes/equal.ts'
import { fromHexDigits } from '../bytes/hex.ts'
import { FormatError } from '../bytes/format-error.ts'
import { fromUtf8, textAt, toUtf8 } from '../bytes/text.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const COLON = 0x3a
const COMMA = 0x2c
const MINUS = 0x2d
const DIGIT_0 = 0x30
const MAX_DEPTH = 32
/** Digits that a whole number may have: below 2^53 whatever they are. */
const MAX_DIGITS = 15

export class JsonReader {
  readonly #format: string
  readonly #bytes: Uint8Array
  #at = 0
  /** Whether nothing of the object or list that was opened last has been read. */
  #first = true
  /** Names of the innermost open object that were read, by their place. */
  #seen = 0
  /** The same of the objects around it; of a list 0. */
  readonly #around: number[] = []

  constructor(format: string, bytes: Uint8Array) {
    this.#format = format
    this.#bytes = bytes
  }

  /** Offset of the next value, after white space. */
  get start(): number {
    this.#passSpace()
    return this.#at
  }

  /** What the next value begins with: a quote, a bracket, or anything else of a number or literal. Undefined at the end. */
  get firstByte(): number | undefined {
    return this.#bytes[this.start]
  }

  /** Offset behind what was read last. */
  get offset(): number {
    return this.#at
  }

  openObject(field: string): void {
    this.#open(OPEN_OBJECT, field, 'not an object')
  }

  openList(field: string): void {
    this.#open(OPEN_LIST, field, 'not a list')
  }

  /**
   * The next member of the open object that is asked for, its value being next; all others are passed. Undefined when the object ends, and then it is
   * closed.
   *
   * @param names - at most 31, in ASCII
   */
  member<Name extends string>(names: readonly Name[]): Name | undefined {
    while (!this.#closes(CLOSE_OBJECT)) {
      const place = this.#name(names)
      if (place < 0) {
        this.skip()
        continue
      }
      const name = names[place] as Name
      const bit = 1 << place
      if ((this.#seen & bit) !== 0) this.fail(name, 'stands twice')
      this.#seen |= bit
      return name
    }
    return undefined
  }

  /** The name of the next member of the open object, its value being next. Undefined when the object ends, and then it is closed. */
  anyMember(): string | undefined {
    if (this.#closes(CLOSE_OBJECT)) return undefined
    const name = this.anyText('name')
    this.#colon()
    return name
  }

  /** Whether the open list has one more entry, which is next; else it is closed. */
  entry(): boolean {
    return !this.#closes(CLOSE_LIST)
  }

  /** A text of at most so many bytes. */
  text(field: string, limit: number): string {
    const start = this.start + 1
    const end = this.#passString(field)
    if (end - start > limit) this.fail(field, 'not a short text')
    return unescaped(textAt(this.#format, field, this.#bytes, start, end))
  }

  /** A text of any length. It is not remembered as those of {@link text} are, for who sends JSON of any shape chooses it. */
  anyText(field: string): string {
    const start = this.start + 1
    const end = this.#passString(field)
    return unescaped(fromUtf8(this.#format, field, this.#bytes.subarray(start, end)))
  }

  /** Which of these ASCII texts it is; undefined when none of them. */
  oneOf<Text extends string>(field: string, texts: readonly Text[]): Text | undefined {
    const start = this.start + 1
    const end = this.#passString(field)
    for (const text of texts) if (isTextAt(this.#bytes, start, end, text)) return text
    return undefined
  }

  /**
   * What is made of the bytes between the quotes.
   *
   * @param read - undefined when they are not what they should be: they may have escapes and anything else that a text may have
   */
  read<Value>(
    field: string,
    problem: string,
    read: (bytes: Uint8Array, start: number, end: number) => Value | undefined,
  ): Value {
    const start = this.start + 1
    const end = this.#passString(field)
    return read(this.#bytes, start, end) ?? this.fail(field, problem)
  }

  /** A text of that many bytes in hexadecimal. */
  hex(field: string, size: number): Uint8Array<ArrayBuffer> {
    const start = this.start + 1
    const end = this.#passString(field)
    if (end - start !== size * 2) this.fail(field, `${(end - start) / 2} bytes, wanted ${size}`)
    return fromHexDigits(this.#bytes, start, end)
  }

  /** A whole number from 0 to the limit, written in digits alone. */
  number(field: string, limit: number): number {
    const start = this.start
    const bytes = this.#bytes
    let at = start
    let value = 0
    for (; isDigit(bytes[at]); at++) value = value * 10 + (bytes[at] as number) - DIGIT_0
    const digits = at - start
    const leadingZero = digits > 1 && bytes[start] === DIGIT_0
    if (digits === 0 || digits > MAX_DIGITS || leadingZero || value > limit)
      this.fail(field, `not a whole number up to ${limit}`)
    this.#at = at
    this.#endOfScalar(field)
    return value
  }

  /**
   * The number of an object that has one member alone and no white space, as machines write the many that are alike: as {@link openObject}, {@link member}
   * and {@link number} would read it, in one go. Undefined, and nothing is passed, for any other value.
   *
   * @param head - the object up to the number, `{"name":`
   */
  loneNumber(head: string, field: string, limit: number): number | undefined {
    const start = this.start
    const bytes = this.#bytes
    const first = start + head.length
    if (!isTextAt(bytes, start, first, head)) return undefined
    let end = first
    while (isDigit(bytes[end])) end++
    if (bytes[end] !== CLOSE_OBJECT) return undefined
    this.#at = first
    const value = this.number(field, limit)
    this.#at = end + 1
    return value
  }

  /** How the next number or literal is written. */
  scalar(field: string): string {
    const start = this.start
    this.#skipScalar()
    return fromUtf8(this.#format, field, this.#bytes.subarray(start, this.#at))
  }

  /** The bytes of a list of whole numbers below 256. Undefined, and nothing is passed, for any other value. */
  byteList(): Uint8Array<ArrayBuffer> | undefined {
    const text = this.#bytes
    const start = this.start
    if (text[start] !== OPEN_LIST) return undefined
    let end = start + 1
    let commas = 0
    for (let byte = text[end]; byte !== CLOSE_LIST; byte = text[++end]) {
      if (byte === COMMA) commas++
      else if (!isDigit(byte) && !isSpace(byte)) return undefined
    }
    const bytes = new Uint8Array(commas + 1)
    let at = start + 1
    for (let index = 0; index < bytes.length; index++) {
      while (isSpace(text[at])) at++
      const first = at
      let value = 0
      for (; isDigit(text[at]); at++) value = value * 10 + (text[at] as number) - DIGIT_0
      const digits = at - first
      if (digits === 0 || value > 0xff || (digits > 1 && text[first] === DIGIT_0)) return undefined
      bytes[index] = value
      while (isSpace(text[at])) at++
      if (text[at++] !== (index === commas ? CLOSE_LIST : COMMA)) return undefined
    }
    this.#at = at
    return bytes
  }

  /** Passes any value. */
  skip(): void {
    this.#skip(0)
  }

  /** Only white space may follow. */
  end(): void {
    if (this.start !== this.#bytes.length) this.fail('end', 'is followed by more')
  }

  fail(field: string, problem: string): never {
    throw new FormatError(this.#format, field, this.#at, problem)
  }

  #open(bracket: number, field: string, problem: string): void {
    if (this.#bytes[this.start] !== bracket) this.fail(field, problem)
    if (this.#around.length === MAX_DEPTH) this.fail(field, 'nests too deeply')
    this.#at++
    this.#first = true
    this.#around.push(this.#seen)
    this.#seen = 0
  }

  /** Passes the bracket that ends what is open, or the comma before one more. */
  #closes(bracket: number): boolean {
    const byte = this.#bytes[this.start]
    if (byte === bracket) {
      this.#at++
      this.#first = false
      this.#seen = this.#around.pop() ?? 0
      return true
    }
    if (this.#first) this.#first = false
    else if (byte === COMMA) this.#at++
    else this.fail('text', 'not JSON')
    return false
  }

  /** Passes a name and its colon. @returns its place among the wanted ones, negative when it is none of them */
  #name(names: readonly string[]): number {
    const start = this.start + 1
    const end = this.#passString('text')
    const bytes = this.#bytes
    let place = names.length - 1
    while (place >= 0 && !isTextAt(bytes, start, end, names[place] as string)) place--
    if (place < 0 && names.length > 0)
      for (let at = start; at < end; at++)
        if (bytes[at] === BACKSLASH) this.fail('name', 'is spelt with escapes')
    this.#colon()
    return place
  }

  #colon(): void {
    if (this.#bytes[this.start] !== COLON) this.fail('text', 'not JSON')
    this.#at++
  }

  /** Passes a text, checked whole. @returns the offset of its last quote */
  #passString(field: string): number {
    const bytes = this.#bytes
    const start = this.start + 1
    if (bytes[start - 1] !== QUOTE) this.fail(field, 'not a text')
    const { length } = bytes
    let at = start
    let all = 0
    for (;;) {
      if (at >= length) this.fail(field, 'text does not end')
      const byte = bytes[at] as number
      if (byte === QUOTE) break
      if (byte < 0x20) this.fail(field, 'control character')
      all |= byte
      at += byte === BACKSLASH ? this.#escapeLength(at, field) : 1
    }
    if (all >= 0x80) fromUtf8(this.#format, field, bytes.subarray(start, at))
    this.#at = at + 1
    return at
  }

  #escapeLength(at: number, field: string): number {
    const kind = this.#bytes[at + 1] ?? 0
    if (ESCAPES.has(kind)) return 2
    if (kind !== LETTER_U) this.fail(field, 'unknown escape')
    for (let digit = at + 2; digit < at + 6; digit++)
      if (!isHexDigit(this.#bytes[digit])) this.fail(field, 'malformed escape')
    return 6
  }

  #skip(depth: number): void {
    if (depth > MAX_DEPTH) this.fail('text', 'nests too deeply')
    switch (this.#bytes[this.start]) {
      case QUOTE:
        this.#passString('text')
        return
      case OPEN_OBJECT:
        this.#at++
        for (let first = true; !this.#passEnd(CLOSE_OBJECT, first); first = false) {
          this.#name([])
          this.#skip(depth + 1)
        }
        return
      case OPEN_LIST:
        this.#at++
        for (let first = true; !this.#passEnd(CLOSE_LIST, first); first = false)
          this.#skip(depth + 1)
        return
      default:
        this.#skipScalar()
    }
  }

  /** As {@link #closes}, of what is passed only. */
  #passEnd(bracket: number, first: boolean): boolean {
    const byte = this.#bytes[this.start]
    if (byte === bracket || (!first && byte === COMMA)) {
      this.#at++
      return byte === bracket
    }
    if (!first) this.fail('text', 'not JSON')
    return false
  }

  #skipScalar(): void {
    for (const literal of LITERALS)
      if (isTextAt(this.#bytes, this.#at, this.#at + literal.length, literal)) {
        this.#at += literal.length
        this.#endOfScalar('text')
        return
      }
    if (this.#bytes[this.#at] === MINUS) this.#at++
    const whole = this.#at
    if (this.#digits() > 1 && this.#bytes[whole] === DIGIT_0) this.fail('text', 'not JSON')
    if (this.#bytes[this.#at] === POINT) {
      this.#at++
      this.#digits()
    }
    if (((this.#bytes[this.#at] ?? 0) | 0x20) === LETTER_E) {
      this.#at++
      const sign = this.#bytes[this.#at]
      if (sign === MINUS || sign === PLUS) this.#at++
      this.#digits()
    }
    this.#endOfScalar('text')
  }

  /** Passes digits, of which there must be one. @returns how many */
  #digits(): number {
    const start = this.#at
    while (isDigit(this.#bytes[this.#at])) this.#at++
    if (this.#at === start) this.fail('text', 'not JSON')
    return this.#at - start
  }

  /** What follows a number or a literal ends it: `12a` is no number and then something. */
  #endOfScalar(field: string): void {
    const byte = this.#bytes[this.#at]
    const ends =
      byte === undefined ||
      byte === COMMA ||
      byte === CLOSE_OBJECT ||
      byte === CLOSE_LIST ||
      isSpace(byte)
    if (!ends) this.fail(field, 'not JSON')
  }

  #passSpace(): void {
    const bytes = this.#bytes
    let at = this.#at
    if (!isSpace(bytes[at])) return
    do at++
    while (isSpace(bytes[at]))
    this.#at = at
  }
}

const LITERALS = ['true', 'false', 'null'] as const
const POINT = 0x2e
const PLUS = 0x2b
const LETTER_E = 0x65
const LETTER_U = 0x75
/** What may follow a backslash but `u`. */
const ESCAPES: ReadonlySet<number> = new Set(toUtf8('"\\/bfnrt'))

/** @param text - between its quotes, checked */
function unescaped(text: string): string {
  return text.includes('\\') ? (JSON.parse(`"${text}"`) as string) : text
}

function isDigit(byte = 0): boolean {
  return byte >= DIGIT_0 && byte <= 0x39
}

function isHexDigit(byte = 0): boolean {
  const lower = byte | 0x20
  return isDigit(byte) || (lower >= 0x61 && lower <= 0x66)
}

function isSpace(byte = 0): boolean {
  return byte <= 0x20 && (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09)
}
