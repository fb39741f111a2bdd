/** Modules: package, imports and rules, in Rego v0 and v1. */
import type { Body, ElseBranch, Head, Import, Module, RegoVersion, Rule, Term } from '../ast.ts'
import { RegoError, type Location } from '../error.ts'
import { parseBodyUntil, parseExpr, parseQueryBody } from './body-parser.ts'
import { FUTURE_KEYWORDS, isFutureKeyword, type FutureKeyword } from './keywords.ts'
import { tokenize } from './lexer.ts'
import { TermParser } from './term-parser.ts'
import { describe, TokenCursor } from './tokens.ts'

/**
 * Parses one module.
 *
 * @param file - its name in errors and prints
 * @param version - `v1` unless stated; in `v0`, `import rego.v1` makes the module `v1`
 * @throws RegoError `rego.parse` or `rego.limit.depth`
 */
export function parseModule(file: string, source: string, version: RegoVersion = 'v1'): Module {
  const { tokens, comments } = tokenize(file, source)
  const parser = new ModuleParser(new TokenCursor(tokens), version)
  return { file, source, comments, ...parser.parse() }
}

/** Parses a query: the body that `evaluate` is asked for. */
export function parseQuery(source: string, version: RegoVersion = 'v1'): Body {
  const { tokens } = tokenize('query', source)
  const keywords = new Set<FutureKeyword>(FUTURE_KEYWORDS)
  if (version === 'v0') for (const word of FUTURE_KEYWORDS) if (word !== 'in') keywords.delete(word)
  return parseQueryBody(new TermParser(new TokenCursor(tokens), keywords, parseBodyUntil))
}

class ModuleParser {
  readonly #cursor: TokenCursor
  readonly #keywords: Set<FutureKeyword>
  readonly #terms: TermParser
  #version: RegoVersion
  readonly #imports: Import[] = []

  constructor(cursor: TokenCursor, version: RegoVersion) {
    this.#cursor = cursor
    this.#version = version
    this.#keywords = new Set(version === 'v1' ? FUTURE_KEYWORDS : [])
    this.#terms = new TermParser(cursor, this.#keywords, parseBodyUntil)
  }

  parse(): Omit<Module, 'file' | 'source' | 'comments'> {
    const cursor = this.#cursor
    const start = cursor.current.loc
    if (!cursor.isName('package')) cursor.fail('a module starts with `package`')
    cursor.advance()
    const path = this.#path('package')
    const packageLoc = cursor.span(start)
    this.#separator('the package')
    while (cursor.isName('import')) this.#import()
    const rules: Rule[] = []
    while (cursor.current.kind !== 'end') {
      if (cursor.isName('import')) cursor.fail('imports stand before the rules')
      rules.push(this.#rule())
      cursor.acceptSymbol(';')
    }
    return { version: this.#version, package: path, packageLoc, imports: this.#imports, rules }
  }

  #separator(after: string): void {
    const cursor = this.#cursor
    if (cursor.acceptSymbol(';') || cursor.current.kind === 'end' || cursor.onNewRow) return
    cursor.fail(`expected a new line after ${after}, found ${describe(cursor.current)}`)
  }

  #path(what: string): string[] {
    const cursor = this.#cursor
    if (cursor.current.kind !== 'name') cursor.fail(`expected a path after \`${what}\``)
    const path = [cursor.advance().text]
    for (;;) {
      const token = cursor.current
      if (token.spaced || token.kind !== 'symbol') return path
      if (token.text === '.') {
        cursor.advance()
        if (cursor.current.kind !== 'name') cursor.fail('expected a name after `.`')
        path.push(cursor.advance().text)
      } else if (token.text === '[') {
        cursor.advance()
        if (cursor.current.kind !== 'string') cursor.fail('expected a string in the path')
        path.push(cursor.advance().text)
        cursor.expectSymbol(']', 'after the string')
      } else return path
    }
  }

  #import(): void {
    const cursor = this.#cursor
    const start = cursor.advance().loc
    const path = this.#path('import')
    let alias: string | undefined
    if (cursor.isName('as')) {
      cursor.advance()
      if (cursor.current.kind !== 'name') cursor.fail('expected a name after `as`')
      alias = cursor.advance().text
    }
    const loc = cursor.span(start)
    this.#separator('the import')
    const entry: Import = { path, loc, ...(alias === undefined ? {} : { alias }) }
    if (path[0] === 'future' || path[0] === 'rego') this.#feature(entry)
    else if (path[0] !== 'data' && path[0] !== 'input')
      cursor.fail('the import path must begin with one of `data`, `future`, `input`, `rego`', loc)
    this.#imports.push(entry)
  }

  /** `rego.v1` and `future.keywords` change how the rest of the module is read. */
  #feature({ path, alias, loc }: Import): void {
    const cursor = this.#cursor
    const name = path.join('.')
    if (alias !== undefined) cursor.fail(`\`import ${name}\` cannot have an alias`, loc)
    const earlier = new Set(this.#imports.map((other) => other.path.slice(0, 2).join('.')))
    const conflicts =
      earlier.has('rego.v1') || (name === 'rego.v1' && earlier.has('future.keywords'))
    if (conflicts)
      cursor.fail('this import shadows previous import: rego.v1 implies the keywords', loc)
    if (name === 'rego.v1') {
      this.#version = 'v1'
      for (const word of FUTURE_KEYWORDS) this.#keywords.add(word)
      return
    }
    if (path[0] !== 'future' || path[1] !== 'keywords' || path.length > 3)
      cursor.fail(`unknown import \`${name}\``, loc)
    const word = path[2]
    if (word === undefined) for (const each of FUTURE_KEYWORDS) this.#keywords.add(each)
    else if (isFutureKeyword(word)) this.#keywords.add(word)
    else cursor.fail(`unknown keyword \`${word}\` in the import`, loc)
    // Upstream: `every` needs `in`.
    if (word === 'every') this.#keywords.add('in')
  }

  #rule(): Rule {
    const cursor = this.#cursor
    const start = cursor.current.loc
    if (cursor.isName('default') && !(cursor.next.text === ':=' || cursor.next.text === '='))
      return this.#defaultRule()
    const head = this.#head()
    const hasIf = this.#acceptIf()
    const body = hasIf ? this.#ifBody() : this.#bracedBody()
    const chained: Body[] = []
    const elses: ElseBranch[] = []
    if (body !== undefined) {
      while (cursor.isName('else')) elses.push(this.#else())
      if (elses.length === 0 && !hasIf)
        for (;;) {
          const next = this.#bracedBody()
          if (next === undefined) break
          chained.push(next)
        }
    }
    if (!hasIf && body !== undefined && this.#version === 'v1')
      cursor.fail('`if` keyword is required before rule body', start)
    const finished = this.#finishHead(head, { hasIf, hasBody: body !== undefined })
    return {
      default: false,
      head: finished,
      ...(body === undefined ? {} : { body }),
      elses,
      hasIf,
      chained,
      loc: cursor.span(start),
    }
  }

  #defaultRule(): Rule {
    const cursor = this.#cursor
    const start = cursor.advance().loc
    const head = this.#head()
    if (head.value === undefined || head.contains)
      cursor.fail('a default rule must have a value', head.loc)
    checkDefaultValue(head.value as Term, cursor)
    if (this.#terms.isKeyword('in')) cursor.fail('unexpected keyword `in` in default value')
    if (this.#terms.isKeyword('if') || (cursor.isSymbol('{') && !cursor.onNewRow))
      cursor.fail('a default rule has no body')
    const rule = { default: true, head, elses: [], hasIf: false, chained: [] }
    return { ...rule, loc: cursor.span(start) }
  }

  #acceptIf(): boolean {
    // After a head `if` can be nothing else, imported or not.
    const isIf = this.#cursor.isName('if') && !this.#cursor.onNewRow
    if (!isIf && !this.#terms.isKeyword('if')) return false
    this.#cursor.advance()
    return true
  }

  /** After `if`: a body in braces, or one expression (which may start with a brace itself). */
  #ifBody(): Body {
    const cursor = this.#cursor
    if (!cursor.isSymbol('{')) return [parseExpr(this.#terms)]
    const position = cursor.position
    let failure: RegoError
    try {
      const body = this.#bracedBody()
      if (body !== undefined && this.#atRuleEnd() && !isLoneUnion(body)) return body
      failure = new RegoError(
        'rego.parse',
        'expected a new line after the rule body',
        cursor.current.loc,
      )
    } catch (error) {
      if (!(error instanceof RegoError) || error.code !== 'rego.parse') throw error
      failure = error
    }
    cursor.rewind(position)
    try {
      return [parseExpr(this.#terms)]
    } catch {
      throw failure
    }
  }

  #atRuleEnd(): boolean {
    const cursor = this.#cursor
    return (
      cursor.current.kind === 'end' ||
      cursor.onNewRow ||
      cursor.isSymbol(';') ||
      cursor.current.kind === 'name' ||
      cursor.isSymbol('{')
    )
  }

  #bracedBody(): Body | undefined {
    const cursor = this.#cursor
    if (!cursor.isSymbol('{')) return undefined
    const open = cursor.advance()
    if (cursor.isSymbol('}')) cursor.fail('the rule body is empty', open.loc)
    return parseBodyUntil(this.#terms, '}')
  }

  #else(): ElseBranch {
    const cursor = this.#cursor
    const start = cursor.advance().loc
    let value: Term | undefined
    const assign = cursor.isSymbol(':=')
    if (cursor.acceptSymbol(':=') || cursor.acceptSymbol('=')) value = this.#terms.parseTerm()
    const hasIf = this.#acceptIf()
    const body = hasIf ? this.#ifBody() : this.#bracedBody()
    if (!hasIf && body !== undefined && this.#version === 'v1')
      cursor.fail('`if` keyword is required before rule body', start)
    if (body === undefined && value === undefined)
      cursor.fail('`else` must have a value or a body', start)
    return {
      ...(value === undefined ? {} : { value }),
      assign,
      ...(body === undefined ? {} : { body }),
      loc: cursor.span(start),
    }
  }

  #head(): Head {
    const cursor = this.#cursor
    const start = cursor.current.loc
    let { ref, args } = this.#headRef()
    let key: Term | undefined
    let value: Term | undefined
    let assign = false
    const contains = this.#terms.isKeyword('contains')
    if (contains) {
      cursor.advance()
      key = this.#terms.parseTerm()
      if (args !== undefined) cursor.fail('a function cannot use `contains`', start)
    } else if (cursor.isSymbol(':=') || cursor.isSymbol('=')) {
      assign = cursor.advance().text === ':='
      value = this.#terms.parseTerm()
    }
    return {
      ref,
      ...(args === undefined ? {} : { args }),
      ...(key === undefined ? {} : { key }),
      ...(value === undefined ? {} : { value }),
      assign,
      contains,
      loc: cursor.span(start),
    }
  }

  #headRef(): { ref: Term[]; args?: Term[] } {
    const cursor = this.#cursor
    const first = cursor.current
    if (first.kind !== 'name') cursor.fail(`expected a rule, found ${describe(first)}`)
    const term = this.#terms.parsePrimary()
    if (term.kind === 'call') return { ref: headPath(term.operator, cursor), args: [...term.args] }
    const ref = headPath(term, cursor)
    // Upstream's other engines take `f (x)` in heads.
    return cursor.isSymbol('(') ? { ref, args: this.#terms.parseArguments() } : { ref }
  }

  /** What a head without value means depends on version, `if` and length: upstream's rules, one for one. */
  #finishHead(head: Head, { hasIf, hasBody }: { hasIf: boolean; hasBody: boolean }): Head {
    if (head.args !== undefined || head.contains) return head
    const last = head.ref.at(-1)
    const multiValue = !hasIf && head.ref.length === 2 && head.value === undefined
    if (multiValue && last !== undefined) {
      if (this.#version === 'v1')
        this.#cursor.fail('`contains` keyword is required for partial set rules', head.loc)
      return { ...head, ref: head.ref.slice(0, 1), key: last }
    }
    if (!hasBody && head.value === undefined)
      this.#cursor.fail('rule must have a body or assignment', head.loc)
    return head
  }
}

/** `if { a | b }` is a set comprehension, as everywhere else. */
function isLoneUnion(body: Body): boolean {
  const [expr] = body
  return (
    body.length === 1 &&
    expr?.kind === 'term' &&
    expr.term.kind === 'call' &&
    expr.term.infix === '|'
  )
}

function headPath(term: Term, cursor: TokenCursor): Term[] {
  if (term.kind === 'var') return [term]
  if (term.kind === 'ref' && term.head.kind === 'var') return [term.head, ...term.path]
  return cursor.fail('a rule starts with a name', term.loc)
}

/** Names that errors use for what may not stand in a default value. */
function checkDefaultValue(term: Term, cursor: TokenCursor): void {
  const illegal = (what: string, loc: Location): never =>
    cursor.fail(`invalid \`${what}\` in default value`, loc)
  switch (term.kind) {
    case 'var':
      return illegal('var', term.loc)
    case 'ref':
      return illegal('ref', term.loc)
    case 'call':
      return illegal('call', term.loc)
    case 'template':
      return illegal('template', term.loc)
    case 'array':
    case 'set':
      for (const item of term.items) checkDefaultValue(item, cursor)
      return
    case 'object':
      for (const pair of term.entries) for (const part of pair) checkDefaultValue(part, cursor)
      return
    case 'scalar':
    case 'array-comprehension':
    case 'set-comprehension':
    case 'object-comprehension':
      return
    default:
      term satisfies never
  }
}
