/** A cursor over tokens, with the choices that a parser with little look-ahead needs. */
import { RegoError, type Location } from '../error.ts'
import type { Token } from './lexer.ts'

/** How deep terms, bodies and parentheses may nest. The recursion of every later stage rests on it. */
export const MAX_NESTING = 200

export class TokenCursor {
  readonly #tokens: readonly Token[]
  #at = 0
  #depth = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  get position(): number {
    return this.#at
  }

  /** Goes back to an earlier {@link position}. */
  rewind(position: number): void {
    this.#at = position
  }

  get current(): Token {
    return this.#tokens[this.#at] as Token
  }

  get next(): Token {
    return this.#tokens[Math.min(this.#at + 1, this.#tokens.length - 1)] as Token
  }

  get previous(): Token {
    return this.#tokens[Math.max(this.#at - 1, 0)] as Token
  }

  advance(): Token {
    const token = this.current
    if (token.kind !== 'end') this.#at++
    return token
  }

  get atEnd(): boolean {
    return this.current.kind === 'end'
  }

  isSymbol(text: string): boolean {
    const token = this.current
    return token.kind === 'symbol' && token.text === text
  }

  isName(text: string): boolean {
    const token = this.current
    return token.kind === 'name' && token.text === text
  }

  acceptSymbol(text: string): boolean {
    if (!this.isSymbol(text)) return false
    this.#at++
    return true
  }

  expectSymbol(text: string, where: string): Token {
    if (!this.isSymbol(text))
      this.fail(`expected \`${text}\` ${where}, found ${describe(this.current)}`)
    return this.advance()
  }

  /** Whether the current token stands on a later row than the last one. */
  get onNewRow(): boolean {
    return this.#at === 0 || this.current.loc.row > endRow(this.previous)
  }

  /** A location from `start` to the end of the last token. */
  span(start: Location): Location {
    return { ...start, end: Math.max(start.end, this.previous.loc.end) }
  }

  fail(reason: string, location: Location = this.current.loc): never {
    throw new RegoError('rego.parse', reason, location)
  }

  nested<T>(parse: () => T): T {
    if (++this.#depth > MAX_NESTING)
      throw new RegoError('rego.limit.depth', `nested deeper than ${MAX_NESTING}`, this.current.loc)
    try {
      return parse()
    } finally {
      this.#depth--
    }
  }
}

function endRow(token: Token): number {
  const { row, offset, end, source } = token.loc
  let rows = 0
  if (token.kind === 'raw' || token.kind === 'template')
    for (
      let at = source.indexOf('\n', offset);
      at !== -1 && at < end;
      at = source.indexOf('\n', at + 1)
    )
      rows++
  return row + rows
}

export function describe(token: Token): string {
  if (token.kind === 'end') return 'the end of the module'
  if (token.kind === 'name' || token.kind === 'symbol') return `\`${token.text}\``
  return `a ${token.kind}`
}
