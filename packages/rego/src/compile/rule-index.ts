/**
 * An index over the rules of one document. Rules that compare the same part of `input`, or the same argument, with
 * constants are found by its value, so that a policy of hundreds of rules looks at a few.
 */
import type { Context } from '../evaluate/context.ts'
import { keyOf, lookup, type Key, type Value } from '../value.ts'
import type { Expr, ResolvedRule, Term } from './ir.ts'
import type { CompiledRule } from './compiled-set.ts'

type Candidates = (context: Context, args: readonly Value[] | undefined) => readonly CompiledRule[]
type Read = (context: Context, args: readonly Value[] | undefined) => Value | undefined

/** What a rule compares with a constant. */
interface Condition {
  readonly subject: string
  readonly read: Read
  readonly value: Value
}

/** Below this the look-up costs more than it saves. */
const FEWEST_RULES = 4

export function buildIndex(
  resolved: readonly ResolvedRule[],
  rules: readonly CompiledRule[],
): Candidates {
  const all: Candidates = () => rules
  if (rules.length < FEWEST_RULES) return all
  const conditions = resolved.map(conditionsOf)
  const subject = commonest(conditions)
  if (subject === undefined) return all
  return table(subject, conditions, rules)
}

function commonest(conditions: readonly (readonly Condition[])[]): Condition | undefined {
  const counts = new Map<string, { count: number; condition: Condition }>()
  for (const list of conditions)
    for (const condition of new Map(list.map((each) => [each.subject, each])).values()) {
      const entry = counts.get(condition.subject)
      if (entry === undefined) counts.set(condition.subject, { count: 1, condition })
      else entry.count++
    }
  let best: { count: number; condition: Condition } | undefined
  for (const entry of counts.values()) if (entry.count > (best?.count ?? 1)) best = entry
  return best?.condition
}

function table(
  { subject, read }: Condition,
  conditions: readonly (readonly Condition[])[],
  rules: readonly CompiledRule[],
): Candidates {
  const keys = conditions.map((list) => {
    const condition = list.find((each) => each.subject === subject)
    return condition === undefined ? undefined : keyOf(condition.value)
  })
  const unconditional = rules.filter((_, at) => keys[at] === undefined)
  const byKey = new Map<Key, CompiledRule[]>()
  for (const key of keys)
    if (key !== undefined && !byKey.has(key))
      byKey.set(
        key,
        rules.filter((_, at) => keys[at] === undefined || keys[at] === key),
      )
  return (context, args) => {
    const value = read(context, args)
    // Only scalars are compared with, and the key of a large document is as long as the document.
    if (value === undefined || !isScalar(value)) return unconditional
    return byKey.get(keyOf(value)) ?? unconditional
  }
}

function conditionsOf(rule: ResolvedRule): Condition[] {
  const [branch] = rule.branches
  // An `else` makes a rule yield where its first body fails; a print must be seen.
  if (branch === undefined || rule.branches.length > 1 || branch.body.some(prints)) return []
  return [
    ...(rule.args ?? []).flatMap((arg, at) => argumentCondition(arg, at)),
    ...branch.body.flatMap((expr) => expressionCondition(expr, rule.args ?? [])),
  ]
}

function prints(expr: Expr): boolean {
  return (
    expr.kind === 'test' &&
    expr.term.kind === 'call' &&
    expr.term.callee.kind === 'builtin' &&
    expr.term.callee.name === 'print'
  )
}

function argumentCondition(arg: Term, at: number): Condition[] {
  if (arg.kind !== 'const' || !isScalar(arg.value)) return []
  return [{ subject: `argument ${at}`, read: (_, args) => args?.[at], value: arg.value }]
}

function isScalar(value: Value): boolean {
  return typeof value !== 'object' || value === null
}

function expressionCondition(expr: Expr, args: readonly Term[]): Condition[] {
  if (expr.with.length > 0) return []
  const pair = equality(expr)
  if (pair === undefined) return []
  for (const [subject, constant] of [pair, [pair[1], pair[0]]] as const)
    if (constant.kind === 'const' && isScalar(constant.value)) {
      const found = subjectOf(subject, args)
      if (found !== undefined) return [{ ...found, value: constant.value }]
    }
  return []
}

function equality(expr: Expr): readonly [Term, Term] | undefined {
  if (expr.kind === 'unify') return [expr.left, expr.right]
  if (expr.kind !== 'test' || expr.term.kind !== 'call') return undefined
  const { callee, args } = expr.term
  if (callee.kind !== 'builtin' || callee.name !== 'equal') return undefined
  return [args[0] as Term, args[1] as Term]
}

function subjectOf(term: Term, args: readonly Term[]): { subject: string; read: Read } | undefined {
  if (term.kind === 'local') {
    const at = args.findIndex((arg) => arg.kind === 'local' && arg.local === term.local)
    return at === -1 ? undefined : { subject: `argument ${at}`, read: (_, values) => values?.[at] }
  }
  if (term.kind !== 'ref' || term.head.kind !== 'input') return undefined
  const path: string[] = []
  for (const part of term.path) {
    if (part.kind !== 'const' || typeof part.value !== 'string') return undefined
    path.push(part.value)
  }
  return { subject: JSON.stringify(path), read: (context) => readInput(context.input, path) }
}

function readInput(input: Value | undefined, path: readonly string[]): Value | undefined {
  let value = input
  for (let at = 0; at < path.length && value !== undefined; at++)
    value = lookup(value, path[at] as string)
  return value
}
