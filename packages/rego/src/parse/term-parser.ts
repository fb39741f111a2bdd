/** Terms: scalars, refs, calls, collections, comprehensions and infix operations. */
import type { Body, ScalarTerm, Term } from '../ast.ts'
import { RegoError, type Location } from '../error.ts'
import { parseNumber } from '../number.ts'
import { RESERVED, type FutureKeyword } from './keywords.ts'
import { tokenizeRange, type Token } from './lexer.ts'
import { unescapeString } from './string-literal.ts'
import { describe, TokenCursor } from './tokens.ts'

/** What the parser of bodies lends to the parser of terms, for comprehensions. */
export type ParseBody = (terms: TermParser, close: string) => Body

const RELATIONS: Readonly<Record<string, string>> = {
  '==': 'equal',
  '!=': 'neq',
  '<': 'lt',
  '<=': 'lte',
  '>': 'gt',
  '>=': 'gte',
}
const SUMS: Readonly<Record<string, string>> = { '+': 'plus', '-': 'minus' }
const FACTORS: Readonly<Record<string, string>> = { '*': 'mul', '/': 'div', '%': 'rem' }
const UNIONS: Readonly<Record<string, string>> = { '|': 'or' }
const INTERSECTIONS: Readonly<Record<string, string>> = { '&': 'and' }
/** From the loosest to the tightest. */
const INFIX_LEVELS = [RELATIONS, UNIONS, INTERSECTIONS, SUMS, FACTORS]

export class TermParser {
  readonly cursor: TokenCursor
  readonly keywords: ReadonlySet<FutureKeyword>
  readonly #parseBody: ParseBody
  /** Positions where a comprehension was tried in vain: keeps look-ahead from growing exponentially. */
  readonly #notComprehension = new Set<number>()

  constructor(cursor: TokenCursor, keywords: ReadonlySet<FutureKeyword>, parseBody: ParseBody) {
    this.cursor = cursor
    this.keywords = keywords
    this.#parseBody = parseBody
  }

  isKeyword(word: FutureKeyword): boolean {
    return this.keywords.has(word) && this.cursor.isName(word)
  }

  /** A term with infix operators; `a, b in c` is taken whole when `pair` is set. */
  parseTerm(pair = false): Term {
    return this.cursor.nested(() => {
      const start = this.cursor.current.loc
      const first = this.#infix(0)
      if (pair && this.cursor.isSymbol(',')) {
        const membership = this.#pairMembership(first, start)
        if (membership !== undefined) return this.#memberships(membership, start)
      }
      return this.#memberships(first, start)
    })
  }

  #memberships(first: Term, start: Location): Term {
    let term = first
    while (this.isKeyword('in')) {
      this.cursor.advance()
      term = this.#member([term, this.#infix(0)], start)
    }
    return term
  }

  #pairMembership(key: Term, start: Location): Term | undefined {
    const position = this.cursor.position
    this.cursor.advance()
    try {
      const value = this.#infix(0)
      if (this.isKeyword('in')) {
        this.cursor.advance()
        return this.#member([key, value, this.#infix(0)], start)
      }
    } catch (error) {
      if (!(error instanceof RegoError) || error.code !== 'rego.parse') throw error
    }
    this.cursor.rewind(position)
    return undefined
  }

  #member(args: Term[], start: Location): Term {
    const loc = this.cursor.span(start)
    const operator = internalName(`member_${args.length}`, loc)
    return { kind: 'call', operator, args, infix: 'in', loc }
  }

  /** Terms without `in`, as `some … in` and comprehension heads need them. */
  parseOperand(): Term {
    return this.cursor.nested(() => this.#infix(0))
  }

  #infix(level: number): Term {
    const operators = INFIX_LEVELS[level]
    if (operators === undefined) return this.parsePrimary()
    const start = this.cursor.current.loc
    let left = this.#infix(level + 1)
    for (;;) {
      const token = this.cursor.current
      const name = token.kind === 'symbol' ? operators[token.text] : undefined
      if (name === undefined) return left
      this.cursor.advance()
      const right = this.#infix(level + 1)
      const operator: Term = { kind: 'var', name, loc: token.loc }
      left = {
        kind: 'call',
        operator,
        args: [left, right],
        infix: token.text,
        loc: this.cursor.span(start),
      }
    }
  }

  /** A term without infix operators: what may stand left of `|` in a comprehension. */
  parsePrimary(): Term {
    return this.cursor.nested(() => this.#finish(this.#primary()))
  }

  #primary(): Term {
    const token = this.cursor.current
    switch (token.kind) {
      case 'number':
        return this.#number('')
      case 'string':
        this.cursor.advance()
        return { kind: 'scalar', value: token.text, loc: token.loc }
      case 'raw':
        this.cursor.advance()
        return { kind: 'scalar', value: token.text, raw: true, loc: token.loc }
      case 'template':
        this.cursor.advance()
        return this.#template(token)
      case 'name':
        return this.#named(token)
      case 'symbol':
        return this.#bracketed(token)
      default:
        return this.cursor.fail(`expected a term, found ${describe(token)}`)
    }
  }

  #number(sign: string): ScalarTerm {
    const token = this.cursor.advance()
    const value = parseNumber(sign + token.text)
    if (value === undefined) this.cursor.fail('the number is too large', token.loc)
    return { kind: 'scalar', value, loc: token.loc }
  }

  #named(token: Token): Term {
    this.cursor.advance()
    const { text, loc } = token
    if (text === 'true' || text === 'false') return { kind: 'scalar', value: text === 'true', loc }
    if (text === 'null') return { kind: 'scalar', value: null, loc }
    if (RESERVED.has(text)) this.cursor.fail(`unexpected keyword \`${text}\``, loc)
    const isCall = this.cursor.isSymbol('(') && !this.cursor.current.spaced
    if ((this.keywords as ReadonlySet<string>).has(text) && !(text === 'contains' && isCall))
      this.cursor.fail(`unexpected keyword \`${text}\``, loc)
    return { kind: 'var', name: text, loc }
  }

  #bracketed(token: Token): Term {
    switch (token.text) {
      case '[':
        return this.#array()
      case '{':
        return this.#braced()
      case '(':
        return this.#parenthesised()
      case '-':
        return this.#negative()
      default:
        return this.cursor.fail(`expected a term, found ${describe(token)}`)
    }
  }

  #negative(): Term {
    const { loc } = this.cursor.advance()
    if (this.cursor.current.kind !== 'number')
      this.cursor.fail('unary - can only be used with numeric literals', loc)
    const number = this.#number('-')
    return { ...number, loc: this.cursor.span(loc) }
  }

  #parenthesised(): Term {
    const { loc } = this.cursor.advance()
    const term = this.parseTerm(true)
    this.cursor.expectSymbol(')', 'after the term in parentheses')
    return { ...term, loc: this.cursor.span(loc) }
  }

  /** Refs and calls: what follows without white space belongs to the term. */
  #finish(first: Term): Term {
    const start = first.loc
    let term = first
    let path: Term[] = []
    const asTerm = (): Term =>
      path.length === 0 ? term : { kind: 'ref', head: term, path, loc: this.cursor.span(start) }
    for (;;) {
      const token = this.cursor.current
      if (token.kind !== 'symbol' || token.spaced) return asTerm()
      if (token.text === '.') path.push(this.#dotted())
      else if (token.text === '[') path.push(this.#indexed())
      else if (token.text === '(' && isOperator(asTerm())) {
        const operator = asTerm()
        const args = this.parseArguments()
        const loc = this.cursor.span(start)
        const isEmptySet = operator.kind === 'var' && operator.name === 'set' && args.length === 0
        term = isEmptySet ? { kind: 'set', items: [], loc } : { kind: 'call', operator, args, loc }
        path = []
      } else return asTerm()
    }
  }

  #dotted(): Term {
    this.cursor.advance()
    const token = this.cursor.current
    if (token.kind !== 'name' || token.spaced)
      this.cursor.fail(`expected a name after \`.\`, found ${describe(token)}`)
    this.cursor.advance()
    return { kind: 'scalar', value: token.text, loc: token.loc }
  }

  #indexed(): Term {
    this.cursor.advance()
    const term = this.parseTerm()
    this.cursor.expectSymbol(']', 'after the index')
    return term
  }

  /** The arguments of a call, from the opening parenthesis. */
  parseArguments(): Term[] {
    this.cursor.expectSymbol('(', 'before the arguments')
    return this.#list(')')
  }

  #list(close: string): Term[] {
    const items: Term[] = []
    while (!this.cursor.isSymbol(close)) {
      items.push(this.parseTerm())
      if (!this.cursor.acceptSymbol(',')) break
    }
    this.cursor.expectSymbol(close, 'to close the list')
    return items
  }

  #array(): Term {
    const { loc } = this.cursor.advance()
    const comprehension = this.#tryComprehension(']', () => ({ term: this.parsePrimary() }))
    if (comprehension !== undefined) {
      const { head, body } = comprehension
      return { kind: 'array-comprehension', term: head.term, body, loc: this.cursor.span(loc) }
    }
    const items = this.#list(']')
    return { kind: 'array', items, loc: this.cursor.span(loc) }
  }

  /** An object, a set or a comprehension of one. */
  #braced(): Term {
    const { loc } = this.cursor.advance()
    if (this.cursor.acceptSymbol('}'))
      return { kind: 'object', entries: [], loc: this.cursor.span(loc) }
    const set = this.#tryComprehension('}', () => ({ term: this.parsePrimary() }))
    if (set !== undefined) {
      const { head, body } = set
      return { kind: 'set-comprehension', term: head.term, body, loc: this.cursor.span(loc) }
    }
    const object = this.#tryComprehension('}', () => this.#entryOfPrimaries(), 1)
    if (object !== undefined) {
      const { head, body } = object
      return { kind: 'object-comprehension', ...head, body, loc: this.cursor.span(loc) }
    }
    const first = this.parseTerm()
    if (this.cursor.isSymbol(':')) return this.#object(first, loc)
    const items = [first]
    if (this.cursor.acceptSymbol(',')) items.push(...this.#list('}'))
    else this.cursor.expectSymbol('}', 'to close the set')
    return { kind: 'set', items, loc: this.cursor.span(loc) }
  }

  #entryOfPrimaries(): { key: Term; value: Term } {
    const key = this.parseOperand()
    this.cursor.expectSymbol(':', 'after the key')
    return { key, value: this.parsePrimary() }
  }

  #object(firstKey: Term, start: Location): Term {
    const entries: [Term, Term][] = []
    let key = firstKey
    for (;;) {
      this.cursor.expectSymbol(':', 'after the key')
      entries.push([key, this.parseTerm()])
      if (!this.cursor.acceptSymbol(',') || this.cursor.isSymbol('}')) break
      key = this.parseTerm()
    }
    this.cursor.expectSymbol('}', 'to close the object')
    return { kind: 'object', entries, loc: this.cursor.span(start) }
  }

  /** `head | body close`, or undefined with the cursor where it was. */
  #tryComprehension<Head>(
    close: string,
    parseHead: () => Head,
    variant = 0,
  ): { head: Head; body: Body } | undefined {
    const position = this.cursor.position
    const memo = position * 2 + variant
    if (this.#notComprehension.has(memo)) return undefined
    try {
      const head = parseHead()
      if (this.cursor.acceptSymbol('|')) return { head, body: this.#parseBody(this, close) }
    } catch (error) {
      if (!(error instanceof RegoError) || error.code !== 'rego.parse') throw error
    }
    this.#notComprehension.add(memo)
    this.cursor.rewind(position)
    return undefined
  }

  #template(token: Token): Term {
    const raw = token.raw === true
    const parts: (string | Term)[] = []
    const base = token.loc.offset + 2
    let text = ''
    for (let at = 0; at < token.text.length; at++) {
      const char = token.text[at]
      if (char === '\\' && (!raw || token.text[at + 1] === '{')) {
        text += token.text[at + 1] === '{' ? '{' : `${char}${token.text[at + 1] ?? ''}`
        at++
      } else if (char !== '{') text += char
      else {
        const end = closingBrace(token.text, at)
        parts.push(
          this.#literal(text, raw, token),
          this.#embedded(token, base + at + 1, base + end),
        )
        text = ''
        at = end
      }
    }
    parts.push(this.#literal(text, raw, token))
    return { kind: 'template', parts: parts.filter((part) => part !== ''), raw, loc: token.loc }
  }

  #literal(text: string, raw: boolean, token: Token): string {
    const decoded = raw ? text : unescapeString(text)
    if (decoded === undefined) this.cursor.fail('the template has an illegal escape', token.loc)
    return decoded
  }

  #embedded(token: Token, start: number, end: number): Term {
    const { tokens } = tokenizeRange(token.loc, start, end)
    const cursor = new TokenCursor(tokens)
    const parser = new TermParser(cursor, this.keywords, this.#parseBody)
    const term = this.cursor.nested(() => parser.parseTerm(true))
    if (cursor.current.kind !== 'end') cursor.fail('expected one term in the braces')
    return term
  }
}

function closingBrace(text: string, open: number): number {
  let depth = 0
  for (let at = open; at < text.length; at++) {
    if (text[at] === '"') at = closingQuote(text, at)
    else if (text[at] === '{') depth++
    else if (text[at] === '}' && --depth === 0) return at
  }
  return text.length
}

function closingQuote(text: string, open: number): number {
  let at = open + 1
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at
}

/** Only names and dotted names can be called. */
function isOperator(term: Term): boolean {
  if (term.kind === 'var') return true
  return (
    term.kind === 'ref' &&
    term.head.kind === 'var' &&
    term.path.every((part) => part.kind === 'scalar' && typeof part.value === 'string')
  )
}

/** The name of a built-in that only the parser may write. */
function internalName(name: string, loc: Location): Term {
  return {
    kind: 'ref',
    head: { kind: 'var', name: 'internal', loc },
    path: [{ kind: 'scalar', value: name, loc }],
    loc,
  }
}
