/** Prints terms: parentheses where the grammar needs them, collections over several lines where they were. */
import type { Body, CallTerm, Term } from '../ast.ts'
import { formatNumber } from '../number.ts'
import { RESERVED } from '../parse/keywords.ts'
import type { CommentQueue } from './comments.ts'

const PRECEDENCE: Readonly<Record<string, number>> = {
  in: 0,
  '==': 1,
  '!=': 1,
  '<': 1,
  '<=': 1,
  '>': 1,
  '>=': 1,
  '|': 2,
  '&': 3,
  '+': 4,
  '-': 4,
  '*': 5,
  '/': 5,
  '%': 5,
}

type PrintBody = (body: Body, margin: string) => string

export class TermPrinter {
  readonly #comments: CommentQueue
  readonly #printBody: PrintBody

  constructor(comments: CommentQueue, printBody: PrintBody) {
    this.#comments = comments
    this.#printBody = printBody
  }

  /** A term where `a, b in c` may stand bare. */
  top(term: Term, margin: string): string {
    return term.kind === 'call' && isPairMembership(term)
      ? this.#infix(term, margin)
      : this.term(term, margin)
  }

  term(term: Term, margin: string): string {
    switch (term.kind) {
      case 'scalar':
        return scalarText(term.value, term.raw === true)
      case 'var':
        return term.name
      case 'ref':
        return this.refText([term.head, ...term.path], margin)
      case 'array':
        return this.#list('[', term.items, ']', term, margin)
      case 'set':
        return term.items.length === 0 ? 'set()' : this.#list('{', term.items, '}', term, margin)
      case 'object':
        return this.#object(term, margin)
      case 'call':
        return this.#call(term, margin)
      case 'template':
        return this.#template(term, margin)
      case 'array-comprehension':
        return `[${this.#primary(term.term, margin)} | ${this.#printBody(term.body, margin)}]`
      case 'set-comprehension':
        return `{${this.#primary(term.term, margin)} | ${this.#printBody(term.body, margin)}}`
      case 'object-comprehension': {
        const head = `${this.operand(term.key, margin)}: ${this.#primary(term.value, margin)}`
        return `{${head} | ${this.#printBody(term.body, margin)}}`
      }
      default:
        return term satisfies never
    }
  }

  /** Where `in` would be read as a keyword of the expression around. */
  operand(term: Term, margin: string): string {
    const text = this.term(term, margin)
    return term.kind === 'call' && term.infix === 'in' && !text.startsWith('(') ? `(${text})` : text
  }

  /** In front of `|` no operator may stand. */
  #primary(term: Term, margin: string): string {
    const text = this.term(term, margin)
    return term.kind === 'call' && term.infix !== undefined && !isPairMembership(term)
      ? `(${text})`
      : text
  }

  refText([head, ...path]: readonly Term[], margin: string): string {
    let text = head === undefined ? '' : this.#refHead(head, margin)
    for (const part of path)
      text +=
        part.kind === 'scalar' && typeof part.value === 'string' && isPlainName(part.value)
          ? `.${part.value}`
          : `[${this.term(part, margin)}]`
    return text
  }

  #refHead(head: Term, margin: string): string {
    const text = this.term(head, margin)
    return head.kind === 'call' && head.infix !== undefined && !text.startsWith('(')
      ? `(${text})`
      : text
  }

  #call(term: CallTerm, margin: string): string {
    if (isPairMembership(term)) return `(${this.#infix(term, margin)})`
    if (term.infix !== undefined) return this.#infix(term, margin)
    const operator = this.term(term.operator, margin)
    return `${operator}(${term.args.map((arg) => this.term(arg, margin)).join(', ')})`
  }

  #infix(term: CallTerm, margin: string): string {
    const symbol = term.infix as string
    const level = PRECEDENCE[symbol] as number
    const last = term.args.at(-1) as Term
    const left = term.args
      .slice(0, -1)
      .map((arg, at) =>
        this.#side(arg, at === 0 && term.args.length === 2 ? level : level + 1, margin),
      )
    return `${left.join(', ')} ${symbol} ${this.#side(last, level + 1, margin)}`
  }

  #side(term: Term, least: number, margin: string): string {
    const text = this.term(term, margin)
    if (term.kind !== 'call' || term.infix === undefined || isPairMembership(term)) return text
    return (PRECEDENCE[term.infix] as number) < least ? `(${text})` : text
  }

  /** Items that start with a union look like the start of a comprehension. */
  #item(term: Term, margin: string): string {
    const text = this.term(term, margin)
    return term.kind === 'call' &&
      term.infix !== undefined &&
      !isPairMembership(term) &&
      hasUnion(term)
      ? `(${text})`
      : text
  }

  #list(open: string, items: readonly Term[], close: string, term: Term, margin: string): string {
    if (!this.#breaks(term, items))
      return open + items.map((item) => this.#item(item, margin)).join(', ') + close
    const inner = `${margin}\t`
    const lines = items.flatMap((item) =>
      this.#ownLine(item, () => `${this.#item(item, inner)},`, inner),
    )
    return [open, ...lines, ...this.#commentsBefore(term.loc.end, inner), margin + close].join('\n')
  }

  #object(term: Extract<Term, { kind: 'object' }>, margin: string): string {
    const entry = ([key, value]: readonly [Term, Term], inner: string): string =>
      `${this.#item(key, inner)}: ${this.#item(value, inner)}`
    const starts = term.entries.map(([key]) => key)
    if (!this.#breaks(term, starts))
      return `{${term.entries.map((pair) => entry(pair, margin)).join(', ')}}`
    const inner = `${margin}\t`
    const lines = term.entries.flatMap((pair) =>
      this.#ownLine(pair[1], () => `${entry(pair, inner)},`, inner, pair[0]),
    )
    return ['{', ...lines, ...this.#commentsBefore(term.loc.end, inner), `${margin}}`].join('\n')
  }

  /** A collection whose first item stood on a line of its own keeps one line for each. */
  #breaks(term: Term, items: readonly Term[]): boolean {
    const [first] = items
    return first !== undefined && first.loc.row > term.loc.row
  }

  #ownLine(last: Term, print: () => string, margin: string, first = last): string[] {
    const before = this.#commentsBefore(first.loc.offset, margin)
    const text = margin + print()
    const trailing = this.#comments.takeTrailing(last.loc.end, last.loc.source)
    return [...before, trailing === undefined ? text : `${text} #${trailing.text}`]
  }

  #commentsBefore(offset: number, margin: string): string[] {
    return this.#comments.takeBefore(offset).map(({ text }) => `${margin}#${text}`)
  }

  #template(term: Extract<Term, { kind: 'template' }>, margin: string): string {
    const quote = term.raw ? '`' : '"'
    const parts = term.parts.map((part) => {
      if (typeof part !== 'string') return `{${this.term(part, margin)}}`
      const text = term.raw ? part : JSON.stringify(part).slice(1, -1)
      return text.replaceAll('{', '\\{')
    })
    return `$${quote}${parts.join('')}${quote}`
  }
}

function isPairMembership(term: Term): boolean {
  return term.kind === 'call' && term.infix === 'in' && term.args.length === 3
}

function hasUnion(term: Term): boolean {
  if (term.kind !== 'call' || term.infix === undefined) return false
  return term.infix === '|' || term.args.some(hasUnion)
}

function isPlainName(name: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !RESERVED.has(name)
}

function scalarText(value: Extract<Term, { kind: 'scalar' }>['value'], raw: boolean): string {
  if (typeof value === 'string')
    return raw && !value.includes('`') ? `\`${value}\`` : JSON.stringify(value)
  if (typeof value === 'number' || typeof value === 'bigint') return formatNumber(value)
  return String(value)
}
