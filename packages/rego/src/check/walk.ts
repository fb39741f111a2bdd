/** Walks rules as they were written. */
import type { Body, Expr, Rule, Term } from '../ast.ts'

/** All bodies of a rule, nested ones included. */
export function bodiesOf(rule: Rule): Body[] {
  const bodies: Body[] = []
  walkRule(rule, { body: (body) => bodies.push(body) })
  return bodies
}

/** Every occurrence of a name in a rule, dotted operators of calls as a whole as well. */
export function allNames(rule: Rule): string[] {
  const names: string[] = []
  walkRule(rule, {
    term: (term) => {
      if (term.kind === 'var') names.push(term.name)
      if (term.kind === 'call' && term.operator.kind === 'ref') names.push(dotted(term.operator))
    },
  })
  return names
}

function dotted(term: Extract<Term, { kind: 'ref' }>): string {
  const head = term.head.kind === 'var' ? term.head.name : ''
  return [
    head,
    ...term.path.map((part) => (part.kind === 'scalar' ? String(part.value) : '')),
  ].join('.')
}

interface Visitor {
  readonly term?: (term: Term) => void
  readonly body?: (body: Body) => void
}

function walkRule(rule: Rule, visitor: Visitor): void {
  const { head } = rule
  for (const term of head.ref.slice(1)) walkTerm(term, visitor)
  for (const term of [...(head.args ?? []), head.key, head.value])
    if (term !== undefined) walkTerm(term, visitor)
  for (const body of [rule.body, ...rule.chained, ...rule.elses.map((branch) => branch.body)])
    if (body !== undefined) walkBody(body, visitor)
  for (const { value } of rule.elses) if (value !== undefined) walkTerm(value, visitor)
}

function walkBody(body: Body, visitor: Visitor): void {
  visitor.body?.(body)
  for (const expr of body) walkExpr(expr, visitor)
}

function walkExpr(expr: Expr, visitor: Visitor): void {
  for (const { target, value } of expr.with) {
    walkTerm(target, visitor)
    walkTerm(value, visitor)
  }
  switch (expr.kind) {
    case 'term':
      return walkTerm(expr.term, visitor)
    case 'assign':
    case 'unify':
      walkTerm(expr.left, visitor)
      return walkTerm(expr.right, visitor)
    case 'some':
      for (const term of expr.vars) walkTerm(term, visitor)
      return
    case 'some-in':
      for (const term of [expr.key, expr.value, expr.domain])
        if (term !== undefined) walkTerm(term, visitor)
      return
    case 'not':
      return walkExpr(expr.expr, visitor)
    case 'every':
      for (const term of [expr.key, expr.value, expr.domain])
        if (term !== undefined) walkTerm(term, visitor)
      return walkBody(expr.body, visitor)
    default:
      expr satisfies never
  }
}

function walkTerm(term: Term, visitor: Visitor): void {
  visitor.term?.(term)
  switch (term.kind) {
    case 'ref':
      walkTerm(term.head, visitor)
      for (const part of term.path) walkTerm(part, visitor)
      return
    case 'array':
    case 'set':
      for (const item of term.items) walkTerm(item, visitor)
      return
    case 'object':
      for (const pair of term.entries) for (const part of pair) walkTerm(part, visitor)
      return
    case 'call':
      walkTerm(term.operator, visitor)
      for (const arg of term.args) walkTerm(arg, visitor)
      return
    case 'template':
      for (const part of term.parts) if (typeof part !== 'string') walkTerm(part, visitor)
      return
    case 'array-comprehension':
    case 'set-comprehension':
      walkTerm(term.term, visitor)
      return walkBody(term.body, visitor)
    case 'object-comprehension':
      walkTerm(term.key, visitor)
      walkTerm(term.value, visitor)
      return walkBody(term.body, visitor)
    case 'scalar':
    case 'var':
      return
    default:
      term satisfies never
  }
}
