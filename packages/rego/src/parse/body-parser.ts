/** Bodies: literals, `some`, `every`, `not` and `with`. */
import type { Body, EveryExpr, Expr, Term, VarTerm, With } from '../ast.ts'
import type { Location } from '../error.ts'
import type { TermParser } from './term-parser.ts'
import { describe } from './tokens.ts'

/** Expressions up to `close`, which is consumed. At least one unless `close` comes at once in a query. */
export function parseBodyUntil(terms: TermParser, close: string): Body {
  const { cursor } = terms
  const body: Expr[] = []
  for (;;) {
    if (cursor.isSymbol(close) && body.length > 0) break
    body.push(parseExpr(terms))
    if (cursor.acceptSymbol(';')) continue
    if (cursor.isSymbol(close)) break
    if (!cursor.onNewRow)
      cursor.fail(`expected \`${close}\` or a new line, found ${describe(cursor.current)}`)
  }
  cursor.expectSymbol(close, 'to close the body')
  return body
}

/** A query: expressions up to the end of the text. */
export function parseQueryBody(terms: TermParser): Body {
  const { cursor } = terms
  const body: Expr[] = []
  while (!cursor.atEnd) {
    body.push(parseExpr(terms))
    if (!cursor.acceptSymbol(';') && !cursor.atEnd && !cursor.onNewRow)
      cursor.fail(`expected \`;\` or a new line, found ${describe(cursor.current)}`)
  }
  if (body.length === 0) cursor.fail('the query is empty')
  return body
}

/** One expression with its modifiers. */
export function parseExpr(terms: TermParser): Expr {
  const { cursor } = terms
  return cursor.nested(() => {
    const start = cursor.current.loc
    const expr = parseUnmodified(terms)
    const modifiers = parseModifiers(terms)
    return modifiers.length === 0 ? expr : { ...expr, with: modifiers, loc: cursor.span(start) }
  })
}

function parseUnmodified(terms: TermParser): Expr {
  const { cursor } = terms
  const start = cursor.current.loc
  if (cursor.isName('not') && !(cursor.next.text === '.' && !cursor.next.spaced)) {
    cursor.advance()
    const expr = parseNegated(terms)
    return { kind: 'not', expr, with: [], loc: cursor.span(start) }
  }
  if (cursor.isName('some')) return parseSome(terms)
  if (terms.isKeyword('every')) return parseEvery(terms)
  return parsePlain(terms)
}

function parseNegated(terms: TermParser): Expr {
  const { cursor } = terms
  if (cursor.isName('not') || cursor.isName('some'))
    cursor.fail(`unexpected keyword \`${cursor.current.text}\` after \`not\``)
  return terms.isKeyword('every') ? parseEvery(terms) : parsePlain(terms)
}

function parsePlain(terms: TermParser): Expr {
  const { cursor } = terms
  const start = cursor.current.loc
  const left = terms.parseTerm(true)
  for (const [symbol, kind] of [
    [':=', 'assign'],
    ['=', 'unify'],
  ] as const) {
    if (!cursor.acceptSymbol(symbol)) continue
    const right = terms.parseTerm(true)
    return { kind, left, right, with: [], loc: cursor.span(start) }
  }
  return { kind: 'term', term: left, with: [], loc: cursor.span(start) }
}

function parseModifiers(terms: TermParser): With[] {
  const { cursor } = terms
  const modifiers: With[] = []
  while (cursor.isName('with')) {
    const start = cursor.advance().loc
    const target = terms.parsePrimary()
    if (target.kind !== 'var' && target.kind !== 'ref')
      cursor.fail('`with` must name `input`, `data` or a function', start)
    if (!cursor.isName('as')) cursor.fail(`expected \`as\`, found ${describe(cursor.current)}`)
    cursor.advance()
    modifiers.push({ target, value: terms.parseTerm(), loc: cursor.span(start) })
  }
  return modifiers
}

function parseSome(terms: TermParser): Expr {
  const { cursor } = terms
  const start = cursor.advance().loc
  const listed = [terms.parseOperand()]
  while (cursor.acceptSymbol(',')) listed.push(terms.parseOperand())
  if (terms.isKeyword('in')) {
    cursor.advance()
    return someIn(terms, listed, start)
  }
  const vars = listed.map((term): VarTerm => {
    if (term.kind !== 'var') return cursor.fail('`some` declares variables only', term.loc)
    return term
  })
  return { kind: 'some', vars, with: [], loc: cursor.span(start) }
}

function someIn(terms: TermParser, listed: readonly Term[], start: Location): Expr {
  const { cursor } = terms
  const [first, second] = listed
  if (first === undefined || listed.length > 2)
    return cursor.fail('`some … in` takes one or two terms', start)
  const domain = terms.parseOperand()
  const loc = cursor.span(start)
  return second === undefined
    ? { kind: 'some-in', value: first, domain, with: [], loc }
    : { kind: 'some-in', key: first, value: second, domain, with: [], loc }
}

function parseEvery(terms: TermParser): EveryExpr {
  const { cursor } = terms
  const start = cursor.advance().loc
  const first = everyVar(terms)
  const second = cursor.acceptSymbol(',') ? everyVar(terms) : undefined
  if (!terms.isKeyword('in')) cursor.fail(`expected \`in\`, found ${describe(cursor.current)}`)
  cursor.advance()
  const domain = terms.parseOperand()
  cursor.expectSymbol('{', 'before the body of `every`')
  const body = parseBodyUntil(terms, '}')
  return {
    kind: 'every',
    ...(second === undefined ? { value: first } : { key: first, value: second }),
    domain,
    body,
    with: [],
    loc: cursor.span(start),
  }
}

function everyVar(terms: TermParser): VarTerm {
  const term = terms.parsePrimary()
  if (term.kind !== 'var') terms.cursor.fail('`every` declares variables only', term.loc)
  return term
}
