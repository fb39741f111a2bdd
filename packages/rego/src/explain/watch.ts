/** Compiled into rules while explaining: which expression is reached, and what it looks at. */
import type { BodyCompiler, Watch } from '../compile/body-compiler.ts'
import type { Expr, Local, Term } from '../compile/ir.ts'
import { visitTerm } from '../compile/order.ts'
import type { Probe, Watched } from '../evaluate/context.ts'

export const compileWatch: Watch = (expr, { index, bound, compiler }) => {
  const watched: Watched = { index, loc: expr.loc, probes: probesOf(expr, bound, compiler) }
  return {
    kind: 'once',
    holds: (frame) => {
      frame.attempt?.reach(watched, frame)
      return true
    },
  }
}

/** More would make a trace of a hostile policy large. */
const MAX_PROBES = 12

function probesOf(expr: Expr, bound: ReadonlySet<Local>, compiler: BodyCompiler): Probe[] {
  const probes = new Map<string, Probe>()
  for (const term of termsOf(expr).flatMap(shown)) {
    const text = term.loc.source.slice(term.loc.offset, term.loc.end)
    if (probes.size >= MAX_PROBES || probes.has(text)) continue
    const ground = groundPrefix(term, bound)
    if (ground === undefined) continue
    probes.set(ground.text, {
      text: ground.text,
      evaluate: compiler.evaluator(ground.term, new Set(bound)),
      path: documentPath(ground.term),
    })
  }
  return [...probes.values()]
}

function termsOf(expr: Expr): readonly Term[] {
  switch (expr.kind) {
    case 'test':
      return [expr.term]
    case 'unify':
      return [expr.left, expr.right]
    case 'some-in':
    case 'every':
      return [expr.domain]
    case 'not':
      return expr.expr.flatMap(termsOf)
    default:
      return expr satisfies never
  }
}

/** The refs and variables in a term, and calls of built-ins with what they are given. */
function shown(term: Term): Term[] {
  switch (term.kind) {
    case 'local':
    case 'ref':
    case 'input':
      return [term]
    case 'array':
    case 'set':
      return term.items.flatMap(shown)
    case 'object':
      return term.entries.flatMap((pair) => pair.flatMap(shown))
    case 'call': {
      // User functions are in the trace themselves; comparisons show their sides.
      const nested = term.args.flatMap(shown)
      const isInner = term.callee.kind === 'builtin' && !HIDDEN.test(term.callee.name)
      return isInner && term.callee.kind === 'builtin' && term.callee.builtin.relation !== true
        ? [...nested, term]
        : nested
    }
    default:
      return []
  }
}

const HIDDEN = /^(?:equal|neq|lte?|gte?|internal\..*|print|trace|rand\..*|uuid\..*)$/

/** The part of a ref in front of its first variable without value; other terms whole or not at all. */
function groundPrefix(
  term: Term,
  bound: ReadonlySet<Local>,
): { term: Term; text: string } | undefined {
  const { source, offset, end } = term.loc
  if (isGround(term, bound)) return { term, text: source.slice(offset, end) }
  if (term.kind !== 'ref') return undefined
  const at = term.path.findIndex((part) => !isGround(part, bound))
  const path = term.path.slice(0, at)
  const last = path.at(-1)
  if (last === undefined || !isGround(term.head, bound)) return undefined
  const close = source[last.loc.end] === ']' ? 1 : 0
  return { term: { ...term, path }, text: source.slice(offset, last.loc.end + close) }
}

/** Whether all variables of a term have values, so that it does not iterate. */
function isGround(term: Term, bound: ReadonlySet<Local>): boolean {
  let ground = true
  visitTerm(term, (local) => {
    if (!bound.has(local)) ground = false
  })
  return ground
}

function documentPath(term: Term): readonly string[] | undefined {
  if (term.kind === 'input') return ['input']
  if (term.kind !== 'ref' || (term.head.kind !== 'input' && term.head.kind !== 'data'))
    return undefined
  const names: string[] = [term.head.kind]
  for (const part of term.path) {
    if (part.kind !== 'const') break
    names.push(typeof part.value === 'string' ? part.value : '*')
  }
  return names
}
