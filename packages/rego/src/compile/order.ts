/**
 * Safety and order: an expression runs when all it needs is bound, in source order otherwise, as upstream does.
 * What can never run makes the body unsafe.
 */
import { RegoError } from '../error.ts'
import { isCallee, type Closure, type Expr, type Local, type Term } from './ir.ts'

export type Bound = Set<Local>

/**
 * Puts a body into an order in which it can run.
 *
 * @param bound - what is bound before; grows by what the body binds
 * @throws RegoError `rego.unsafe-var`
 */
export function orderBody(body: readonly Expr[], bound: Bound): Expr[] {
  const ordered: Expr[] = []
  let waiting = [...body]
  while (waiting.length > 0) {
    const still: Expr[] = []
    for (const expr of waiting) {
      const outputs = outputsOf(expr, bound)
      if (outputs === undefined) still.push(expr)
      else {
        ordered.push(expr)
        for (const local of outputs) bound.add(local)
      }
    }
    if (still.length === waiting.length) unsafe(still, bound)
    waiting = still
  }
  return ordered
}

function unsafe(exprs: readonly Expr[], bound: Bound): never {
  const expr = exprs[0] as Expr
  const names = new Set<string>()
  forEachLocal(expr, (local) => {
    if (!bound.has(local)) names.add(local.name)
  })
  const list = [...names].filter((name) => name !== 'head')
  throw new RegoError('rego.unsafe-var', `var ${list.join(', ') || '_'} is unsafe`, expr.loc)
}

/** What running `expr` now would bind; undefined when it cannot run yet. */
export function outputsOf(expr: Expr, bound: Bound): Bound | undefined {
  const known = new Overlay(bound)
  for (const { value } of expr.with)
    if (!isCallee(value) && !evaluate(value, known)) return undefined
  return runs(expr, known) ? known.added : undefined
}

/** Which variables are bound while an expression is looked at. */
export interface Known {
  has(local: Local): boolean
  add(local: Local): void
}

/** Bound variables plus those that the expression itself binds on its way. */
export class Overlay implements Known {
  readonly #base: { has(local: Local): boolean }
  readonly added = new Set<Local>()

  constructor(base: { has(local: Local): boolean }) {
    this.#base = base
  }

  has(local: Local): boolean {
    return this.added.has(local) || this.#base.has(local)
  }

  add(local: Local): void {
    if (!this.#base.has(local)) this.added.add(local)
  }
}

function runs(expr: Expr, known: Known): boolean {
  switch (expr.kind) {
    case 'test':
      return evaluate(expr.term, known)
    case 'unify':
      return unifies(expr.left, expr.right, known)
    case 'some-in':
      if (!evaluate(expr.domain, known)) return false
      return (expr.key === undefined || matches(expr.key, known)) && matches(expr.value, known)
    case 'not':
      return negates(expr.expr, known)
    case 'every':
      return evaluate(expr.domain, known) && captured(expr.closure, known)
    default:
      return expr satisfies never
  }
}

function negates(exprs: readonly Expr[], known: Known): boolean {
  const all = new Set<Local>()
  for (const expr of exprs) forEachLocal(expr, (local) => all.add(local))
  for (const local of all) if (!known.has(local)) return false
  return true
}

function unifies(left: Term, right: Term, known: Known): boolean {
  if (canEvaluate(right, known)) return evaluate(right, known) && matches(left, known)
  if (canEvaluate(left, known)) return evaluate(left, known) && matches(right, known)
  return false
}

function captured(closure: Closure, known: Known): boolean {
  for (const local of closure.captures) if (!known.has(local)) return false
  return true
}

/** Like {@link evaluate}, but binds nothing. */
export function canEvaluate(term: Term, known: Known): boolean {
  return evaluate(term, new Overlay(known))
}

/** Whether `term` has a value once its refs have iterated; binds what they bind. */
export function evaluate(term: Term, known: Known): boolean {
  switch (term.kind) {
    case 'const':
    case 'input':
    case 'data':
      return true
    case 'local':
      return known.has(term.local)
    case 'ref':
      return evaluate(term.head, known) && term.path.every((part) => matches(part, known))
    case 'array':
    case 'set':
      return term.items.every((item) => evaluate(item, known))
    case 'object':
      return term.entries.every(([key, value]) => evaluate(key, known) && evaluate(value, known))
    case 'call':
      return term.args.every((arg) => evaluate(arg, known))
    case 'template':
      return term.parts.every((part) => typeof part === 'string' || evaluate(part, known))
    case 'comprehension':
      return captured(term.closure, known)
    default:
      return term satisfies never
  }
}

/** Whether a value can be matched against `term`; binds the variables in it. */
export function matches(term: Term, known: Known): boolean {
  switch (term.kind) {
    case 'local':
      known.add(term.local)
      return true
    case 'array':
      return term.items.every((item) => matches(item, known))
    case 'object':
      return term.entries.every(([key, value]) => evaluate(key, known) && matches(value, known))
    default:
      return evaluate(term, known)
  }
}

/** The variables of an expression: for nested bodies, those they capture. */
export function forEachLocal(expr: Expr, visit: (local: Local) => void): void {
  for (const { value } of expr.with) if (!isCallee(value)) visitTerm(value, visit)
  switch (expr.kind) {
    case 'test':
      return visitTerm(expr.term, visit)
    case 'unify':
      visitTerm(expr.left, visit)
      return visitTerm(expr.right, visit)
    case 'some-in':
      if (expr.key !== undefined) visitTerm(expr.key, visit)
      visitTerm(expr.value, visit)
      return visitTerm(expr.domain, visit)
    case 'not':
      for (const inner of expr.expr) forEachLocal(inner, visit)
      return
    case 'every':
      visitTerm(expr.domain, visit)
      expr.closure.captures.forEach(visit)
      return
    default:
      expr satisfies never
  }
}

/** The variables of a term: for comprehensions, those they capture. */
export function visitTerm(term: Term, visit: (local: Local) => void): void {
  switch (term.kind) {
    case 'local':
      return visit(term.local)
    case 'ref':
      visitTerm(term.head, visit)
      for (const part of term.path) visitTerm(part, visit)
      return
    case 'array':
    case 'set':
      for (const item of term.items) visitTerm(item, visit)
      return
    case 'object':
      for (const pair of term.entries) for (const part of pair) visitTerm(part, visit)
      return
    case 'call':
      for (const arg of term.args) visitTerm(arg, visit)
      return
    case 'template':
      for (const part of term.parts) if (typeof part !== 'string') visitTerm(part, visit)
      return
    case 'comprehension':
      term.closure.captures.forEach(visit)
      return
    case 'const':
    case 'input':
    case 'data':
      return
    default:
      term satisfies never
  }
}
