/** Source text to tokens. Comments are kept aside for the formatter and for annotations. */
import type { Comment } from '../ast.ts'
import { RegoError, type Location } from '../error.ts'
import { unescapeString } from './string-literal.ts'

export type TokenKind = 'name' | 'number' | 'string' | 'raw' | 'template' | 'symbol' | 'end'

export interface Token {
  readonly kind: TokenKind
  /** Name or symbol as written; number text; decoded string; undecoded template. */
  readonly text: string
  readonly loc: Location
  /** White space or a comment stands before it. */
  readonly spaced: boolean
  /** For templates: written with backticks. */
  readonly raw?: boolean
}

export interface Tokens {
  readonly tokens: readonly Token[]
  readonly comments: readonly Comment[]
}

/** Upstream's agent accepts no more than this for one policy file; nor do we. */
const MAX_SOURCE = 16 * 1024 * 1024

const SYMBOLS2 = new Set([':=', '==', '!=', '<=', '>='])
const SYMBOLS1 = new Set('[]{}().,;:=<>+-*/%|&')
const NAME_START = /[A-Za-z_]/
/** From where the last look ended, so it is set before each use. */
const NAME = /[A-Za-z0-9_]*/y

/** Splits `source` into tokens; the last one has kind `end`. */
export function tokenize(file: string, source: string): Tokens {
  return new Lexer(file, source).run()
}

/** The tokens of `source` between two offsets, with places that count from the start of `source`. */
export function tokenizeRange(within: Location, start: number, end: number): Tokens {
  const { file, source } = within
  const before = source.slice(0, start)
  const row = within.row + (before.slice(within.offset).match(/\n/g)?.length ?? 0)
  return new Lexer(file, source.slice(0, end), {
    at: start,
    row,
    lineStart: before.lastIndexOf('\n') + 1,
  }).run()
}

class Lexer {
  readonly #file: string
  readonly #source: string
  readonly #tokens: Token[] = []
  readonly #comments: Comment[] = []
  #at = 0
  #row = 1
  #lineStart = 0
  #spaced = false

  constructor(
    file: string,
    source: string,
    start?: { readonly at: number; readonly row: number; readonly lineStart: number },
  ) {
    this.#file = file
    this.#source = source
    if (start !== undefined) {
      this.#at = start.at
      this.#row = start.row
      this.#lineStart = start.lineStart
    }
    if (source.length > MAX_SOURCE) throw new RegoError('rego.parse', 'the module is too long')
    if (this.#at === 0 && source.charCodeAt(0) === 0xfeff) this.#at = this.#lineStart = 1
  }

  run(): Tokens {
    while (this.#skipSpace()) this.#token()
    const loc = this.#location(this.#at, this.#row, this.#at - this.#lineStart + 1)
    this.#tokens.push({ kind: 'end', text: '', loc, spaced: true })
    return { tokens: this.#tokens, comments: this.#comments }
  }

  #location(offset: number, row: number, column: number): Location {
    return { file: this.#file, row, column, offset, end: this.#at, source: this.#source }
  }

  #fail(reason: string): never {
    throw new RegoError(
      'rego.parse',
      reason,
      this.#location(this.#at, this.#row, this.#at - this.#lineStart + 1),
    )
  }

  #newline(): void {
    this.#at++
    this.#row++
    this.#lineStart = this.#at
  }

  /** Skips white space and comments; false at the end of the text. */
  #skipSpace(): boolean {
    this.#spaced = this.#at === 0
    for (; this.#at < this.#source.length; this.#spaced = true) {
      const char = this.#source[this.#at]
      if (char === '\n') this.#newline()
      else if (char === ' ' || char === '\t' || char === '\r') this.#at++
      else if (char === '#') this.#comment()
      // Policies that went through C strings come with their terminator.
      else if (char === '\0' && this.#at === this.#source.length - 1) this.#at++
      else return true
    }
    return false
  }

  #comment(): void {
    const start = this.#at
    const end = this.#source.indexOf('\n', start)
    this.#at = end === -1 ? this.#source.length : end
    const before = this.#source.slice(this.#lineStart, start)
    this.#comments.push({
      text: this.#source.slice(start + 1, this.#at).trimEnd(),
      loc: this.#location(start, this.#row, start - this.#lineStart + 1),
      ownLine: before.trim() === '',
    })
  }

  #token(): void {
    const start = this.#at
    const row = this.#row
    const column = start - this.#lineStart + 1
    const spaced = this.#spaced
    const char = this.#source[start] ?? ''
    let kind: TokenKind
    let text: string
    let raw: boolean | undefined
    if (NAME_START.test(char)) {
      kind = 'name'
      text = this.#name()
    } else if (char >= '0' && char <= '9') {
      kind = 'number'
      text = this.#number()
    } else if (char === '"') {
      kind = 'string'
      text = this.#quoted()
    } else if (char === '`') {
      kind = 'raw'
      text = this.#rawText()
    } else if (char === '$') {
      kind = 'template'
      raw = this.#source[start + 1] === '`'
      text = this.#template(raw)
    } else {
      kind = 'symbol'
      text = this.#symbol()
    }
    this.#tokens.push({
      kind,
      text,
      loc: this.#location(start, row, column),
      spaced,
      ...(raw === undefined ? {} : { raw }),
    })
  }

  #name(): string {
    const start = this.#at
    NAME.lastIndex = start
    NAME.test(this.#source)
    this.#at = NAME.lastIndex
    return this.#source.slice(start, this.#at)
  }

  #digits(): void {
    const start = this.#at
    while (isDigit(this.#source[this.#at])) this.#at++
    if (this.#at === start) this.#fail('expected a digit')
  }

  #number(): string {
    const start = this.#at
    this.#digits()
    if (this.#source[start] === '0' && this.#at > start + 1)
      this.#fail('a number must not start with 0')
    if (this.#source[this.#at] === '.' && isDigit(this.#source[this.#at + 1])) {
      this.#at++
      this.#digits()
    }
    const exponent = this.#source[this.#at]
    if (exponent === 'e' || exponent === 'E') {
      this.#at++
      const sign = this.#source[this.#at]
      if (sign === '+' || sign === '-') this.#at++
      this.#digits()
    }
    if (NAME_START.test(this.#source[this.#at] ?? '')) this.#fail('illegal number format')
    return this.#source.slice(start, this.#at)
  }

  #quoted(): string {
    const start = ++this.#at
    for (; ; this.#at++) {
      const char = this.#source[this.#at]
      if (char === undefined || char === '\n') this.#fail('the string is not terminated')
      if (char === '\\') this.#at++
      else if (char === '"') break
    }
    const text = unescapeString(this.#source.slice(start, this.#at))
    if (text === undefined) this.#fail('the string has an illegal escape or character')
    this.#at++
    return text
  }

  #rawText(): string {
    const start = ++this.#at
    for (; this.#source[this.#at] !== '`';) this.#advanceText('the raw string is not terminated')
    return this.#source.slice(start, this.#at++)
  }

  #advanceText(unterminated: string): void {
    const char = this.#source[this.#at]
    if (char === undefined) this.#fail(unterminated)
    if (char === '\n') this.#newline()
    else this.#at++
  }

  /** The text between the quotes, undecoded: the parser splits it, because it holds terms. */
  #template(raw: boolean): string {
    const quote = raw ? '`' : '"'
    this.#at++
    if (this.#source[this.#at] !== quote) this.#fail('illegal token')
    const start = ++this.#at
    let depth = 0
    for (;;) {
      const char = this.#source[this.#at]
      if (depth === 0 && char === quote) break
      if (depth === 0 && char === '\\') this.#at++
      else if (depth > 0 && char === '"') this.#skipNestedString()
      else if (char === '{') depth++
      else if (char === '}' && depth > 0) depth--
      this.#advanceText('the template string is not terminated')
    }
    return this.#source.slice(start, this.#at++)
  }

  #skipNestedString(): void {
    this.#at++
    for (; this.#source[this.#at] !== '"'; this.#at++) {
      if (this.#source[this.#at] === '\\') this.#at++
      if (this.#at >= this.#source.length) this.#fail('the template string is not terminated')
    }
  }

  #symbol(): string {
    const two = this.#source.slice(this.#at, this.#at + 2)
    const text = SYMBOLS2.has(two) ? two : two.slice(0, 1)
    if (text.length === 1 && !SYMBOLS1.has(text)) this.#fail('illegal token')
    this.#at += text.length
    return text
  }
}

function isDigit(char: string | undefined): boolean {
  return char !== undefined && char >= '0' && char <= '9'
}
