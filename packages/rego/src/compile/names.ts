/** Which variables occur where, by name alone. */
import type { Body, Expr, Term } from '../ast.ts'

/** The variables that a pattern would bind: not those in keys, refs and calls. */
export function patternNames(term: Term): string[] {
  switch (term.kind) {
    case 'var':
      return term.name === '_' ? [] : [term.name]
    case 'array':
      return term.items.flatMap(patternNames)
    case 'object':
      return term.entries.flatMap(([, value]) => patternNames(value))
    default:
      return []
  }
}

/** The variables that an expression declares in its body. */
export function declaredNames(expr: Expr): string[] {
  switch (expr.kind) {
    case 'assign':
      return patternNames(expr.left)
    case 'some':
      return expr.vars.map(({ name }) => name)
    case 'some-in':
      return [
        ...(expr.key === undefined ? [] : patternNames(expr.key)),
        ...patternNames(expr.value),
      ]
    default:
      return []
  }
}

/** The variables of a body outside of nested bodies, in order, with those of the head's terms. */
export function directNames(body: Body, alsoUsed: readonly Term[]): Set<string> {
  const names = new Set<string>()
  for (const expr of body) collectExpr(expr, names)
  for (const term of alsoUsed) collect(term, names)
  return names
}

function collectExpr(expr: Expr, names: Set<string>): void {
  for (const { value } of expr.with) collect(value, names)
  switch (expr.kind) {
    case 'term':
      return collect(expr.term, names)
    case 'assign':
    case 'unify':
      collect(expr.left, names)
      return collect(expr.right, names)
    case 'some':
      return
    case 'some-in':
      if (expr.key !== undefined) collect(expr.key, names)
      collect(expr.value, names)
      return collect(expr.domain, names)
    case 'not':
      return collectExpr(expr.expr, names)
    case 'every':
      return collect(expr.domain, names)
    default:
      expr satisfies never
  }
}

function collect(term: Term, names: Set<string>): void {
  switch (term.kind) {
    case 'var':
      if (term.name !== '_') names.add(term.name)
      return
    case 'ref':
      collect(term.head, names)
      for (const part of term.path) collect(part, names)
      return
    case 'array':
    case 'set':
      for (const item of term.items) collect(item, names)
      return
    case 'object':
      for (const pair of term.entries) for (const part of pair) collect(part, names)
      return
    case 'call':
      for (const arg of term.args) collect(arg, names)
      return
    case 'template':
      for (const part of term.parts) if (typeof part !== 'string') collect(part, names)
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
