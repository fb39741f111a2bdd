/** Prints a module in one canonical layout, comments kept. Parsing the result gives the same tree. */
import type {
  Body,
  Comment,
  ElseBranch,
  Expr,
  Head,
  Module,
  RegoVersion,
  Rule,
  Term,
} from '../ast.ts'
import { parseModule } from '../parse/module-parser.ts'
import { CommentQueue } from './comments.ts'
import { TermPrinter } from './term-printer.ts'

/**
 * Formats one module.
 *
 * @throws RegoError `rego.parse` when it does not parse
 */
export function format(file: string, source: string, version: RegoVersion = 'v1'): string {
  return new ModulePrinter(parseModule(file, source, version)).print()
}

class ModulePrinter {
  readonly #module: Module
  readonly #comments: CommentQueue
  readonly #terms: TermPrinter
  readonly #lines: string[] = []

  constructor(module: Module) {
    this.#module = module
    this.#comments = new CommentQueue(module.comments)
    this.#terms = new TermPrinter(this.#comments, (body, margin) => this.#inlineBody(body, margin))
  }

  print(): string {
    const { packageLoc, imports, rules } = this.#module
    this.#before(packageLoc.offset, '')
    this.#line(`package ${pathText(this.#module.package)}`, packageLoc.end)
    if (imports.length > 0) this.#lines.push('')
    for (const { path, alias, loc } of imports) {
      this.#before(loc.offset, '')
      this.#line(`import ${pathText(path)}${alias === undefined ? '' : ` as ${alias}`}`, loc.end)
    }
    let previous: Rule | undefined
    for (const rule of rules) {
      // Rules that stood together and are one line each stay together.
      const together =
        previous !== undefined &&
        isOneLine(previous) &&
        isOneLine(rule) &&
        rule.loc.row === previous.loc.row + 1 &&
        !this.#comments.hasBefore(rule.loc.offset)
      if (!together) this.#lines.push('')
      this.#before(rule.loc.offset, '')
      this.#rule(rule)
      previous = rule
    }
    const rest = this.#comments.takeBefore(Infinity)
    if (rest.length > 0) this.#lines.push('', ...rest.map(commentText))
    return `${this.#lines.join('\n').replace(/\n{3,}/g, '\n\n')}\n`
  }

  /** Own lines for the comments in front of an offset. */
  #before(offset: number, margin: string): void {
    let previous: Comment | undefined
    for (const comment of this.#comments.takeBefore(offset)) {
      if (previous !== undefined && comment.loc.row > previous.loc.row + 1) this.#lines.push('')
      this.#lines.push(margin + commentText(comment))
      previous = comment
    }
    if (previous !== undefined && this.#rowAt(offset) > previous.loc.row + 1) this.#lines.push('')
  }

  #rowAt(offset: number): number {
    let row = 1
    for (
      let at = this.#module.source.indexOf('\n');
      at !== -1 && at < offset;
      at = this.#module.source.indexOf('\n', at + 1)
    )
      row++
    return row
  }

  /** A line, with the comment that stood behind it. */
  #line(text: string, end: number): void {
    const trailing = this.#comments.takeTrailing(end, this.#module.source)
    this.#lines.push(trailing === undefined ? text : `${text} ${commentText(trailing)}`)
  }

  #rule(rule: Rule): void {
    const head = `${rule.default ? 'default ' : ''}${this.#head(rule.head, rule)}`
    this.#withBody(head, rule.body, rule)
    for (const body of rule.chained) this.#appendBody('', body, false)
    for (const branch of rule.elses) this.#else(branch, rule)
  }

  #head(head: Head, rule: Rule): string {
    // v0's `p[x]` was taken apart by the parser; `contains` needs the keyword.
    const bracketed = head.key !== undefined && !head.contains
    let text = this.#terms.refText(bracketed ? [...head.ref, head.key] : head.ref, '')
    if (head.args !== undefined)
      text += `(${head.args.map((arg) => this.#terms.term(arg, '')).join(', ')})`
    if (head.contains && head.key !== undefined)
      text += ` contains ${this.#terms.term(head.key, '')}`
    if (head.value === undefined) return text
    const assign = head.assign || rule.default ? head.assign : false
    return `${text} ${assign ? ':=' : '='} ${this.#terms.term(head.value, '')}`
  }

  #withBody(head: string, body: Body | undefined, rule: Rule): void {
    if (body === undefined) {
      this.#line(head, rule.loc.end)
      return
    }
    this.#appendBody(head, body, rule.hasIf)
  }

  #else(branch: ElseBranch, rule: Rule): void {
    const value =
      branch.value === undefined
        ? ''
        : ` ${branch.assign ? ':=' : '='} ${this.#terms.term(branch.value, '')}`
    if (branch.body === undefined) {
      this.#joinClosing(`else${value}`)
      return
    }
    this.#appendBody(`else${value}`, branch.body, usesIf(branch, rule))
  }

  /** `} else …` on the line of the brace. */
  #joinClosing(text: string): void {
    const last = this.#lines.at(-1)
    if (last === '}') this.#lines[this.#lines.length - 1] = `} ${text}`
    else this.#lines.push(text)
  }

  #appendBody(head: string, body: Body, hasIf: boolean): void {
    const [only] = body
    const keyword = hasIf ? `${head} if ` : `${head} `
    if (
      hasIf &&
      body.length === 1 &&
      only !== undefined &&
      !this.#comments.hasBefore(only.loc.end) &&
      isSimple(only)
    ) {
      const text = keyword + this.#expr(only, '')
      if (text.length <= 100 && !text.includes('\n')) {
        const trailing = this.#comments.takeTrailing(only.loc.end, this.#module.source)
        this.#joinClosing(trailing === undefined ? text : `${text} ${commentText(trailing)}`)
        return
      }
    }
    this.#joinClosing(`${keyword.trimStart()}{`)
    this.#body(body, '\t')
    this.#lines.push('}')
  }

  #body(body: Body, margin: string): void {
    let previous: Expr | undefined
    for (const expr of body) {
      if (previous !== undefined && this.#blankBetween(previous, expr)) this.#lines.push('')
      this.#before(expr.loc.offset, margin)
      this.#line(margin + this.#expr(expr, margin), expr.loc.end)
      previous = expr
    }
  }

  #blankBetween(previous: Expr, expr: Expr): boolean {
    const between = this.#module.source.slice(previous.loc.end, expr.loc.offset)
    return /\n[ \t\r]*\n/.test(between)
  }

  /** The body of a comprehension or of `every`, as it stands behind `|` or inside braces. */
  #inlineBody(body: Body, margin: string): string {
    return body.map((expr) => this.#expr(expr, margin)).join('; ')
  }

  #expr(expr: Expr, margin: string): string {
    const modifiers = expr.with.map(
      ({ target, value }) =>
        ` with ${this.#terms.term(target, margin)} as ${this.#terms.term(value, margin)}`,
    )
    return this.#plain(expr, margin) + modifiers.join('')
  }

  #plain(expr: Expr, margin: string): string {
    const operand = (term: Term): string => this.#terms.operand(term, margin)
    switch (expr.kind) {
      case 'term':
        return this.#terms.top(expr.term, margin)
      case 'assign':
        return `${this.#terms.top(expr.left, margin)} := ${this.#terms.top(expr.right, margin)}`
      case 'unify':
        return `${this.#terms.top(expr.left, margin)} = ${this.#terms.top(expr.right, margin)}`
      case 'some':
        return `some ${expr.vars.map(({ name }) => name).join(', ')}`
      case 'some-in': {
        const key = expr.key === undefined ? '' : `${operand(expr.key)}, `
        return `some ${key}${operand(expr.value)} in ${operand(expr.domain)}`
      }
      case 'not':
        return `not ${this.#plain(expr.expr, margin)}`
      case 'every': {
        const key = expr.key === undefined ? '' : `${expr.key.name}, `
        return `every ${key}${expr.value.name} in ${operand(expr.domain)} ${this.#block(expr.body, margin)}`
      }
      default:
        return expr satisfies never
    }
  }

  /** The braces of `every`, on lines of their own. */
  #block(body: Body, margin: string): string {
    const outer = this.#lines.splice(0)
    this.#body(body, `${margin}\t`)
    const lines = this.#lines.splice(0)
    this.#lines.push(...outer)
    return `{\n${lines.join('\n')}\n${margin}}`
  }
}

function pathText(path: readonly string[]): string {
  return path
    .map((name, at) =>
      at === 0
        ? name
        : /^[A-Za-z_][A-Za-z0-9_]*$/.test(name)
          ? `.${name}`
          : `[${JSON.stringify(name)}]`,
    )
    .join('')
}

function commentText({ text }: Comment): string {
  return `#${text}`
}

/** Whether a rule stands on one line and is printed so. */
function isOneLine(rule: Rule): boolean {
  const { body, elses, loc } = rule
  const isShort = body === undefined || (rule.hasIf && body.length === 1 && body.every(isSimple))
  return isShort && elses.length === 0 && !loc.source.slice(loc.offset, loc.end).includes('\n')
}

function isSimple(expr: Expr): boolean {
  return expr.kind !== 'every' && expr.kind !== 'some' && expr.kind !== 'some-in'
}

/** The tree does not say whether an `else` was written with `if`; its text does. */
function usesIf(branch: ElseBranch, rule: Rule): boolean {
  const first = branch.body?.[0]
  if (first === undefined) return rule.hasIf
  const start = branch.value?.loc.end ?? branch.loc.offset
  return /\bif\b[^#]*$/.test(branch.loc.source.slice(start, first.loc.offset))
}
