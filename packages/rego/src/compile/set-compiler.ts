/** Compiles the rules of one document: arguments, bodies, what they yield, and an index over them. */
import { RegoError } from '../error.ts'
import type { Frame } from '../evaluate/context.ts'
import type { Documents } from '../evaluate/documents.ts'
import { compileWatch } from '../explain/watch.ts'
import { equal, type Value } from '../value.ts'
import { BodyCompiler } from './body-compiler.ts'
import type { Eval, Step } from './closures.ts'
import type { Branch, ResolvedRule, RuleSet } from './ir.ts'
import type { CompiledRule, CompiledSet } from './compiled-set.ts'
import type { Bound } from './order.ts'
import { buildIndex } from './rule-index.ts'
import { Slots } from './scope.ts'

export function compileSet(set: RuleSet, documents: Documents, traced: boolean): CompiledSet {
  const compile = (rule: ResolvedRule): CompiledRule => compileRule(rule, documents, traced)
  const rules = set.resolved.map(compile)
  // An explanation shows every rule, so it does without the index.
  const candidates = traced ? () => rules : buildIndex(set.resolved, rules)
  const isSet = set.sources.some(
    ({ rule, keys }) => rule.head.key !== undefined && keys.length === 0,
  )
  return {
    set,
    kind: set.kind,
    sinkKind: isSet ? 'set' : 'object',
    defaults: set.resolvedDefaults.map(compile),
    sameConstant: yieldOneConstant(set.resolved),
    candidates,
  }
}

function yieldOneConstant(rules: readonly ResolvedRule[]): boolean {
  let first: Value | undefined
  for (const { branches } of rules)
    for (const { value } of branches) {
      if (value?.kind !== 'const') return false
      if (first === undefined) first = value.value
      if (!equal(first, value.value)) return false
    }
  return true
}

function compileRule(rule: ResolvedRule, documents: Documents, traced: boolean): CompiledRule {
  const slots = new Slots(rule.slots)
  const compiler = new BodyCompiler(documents, slots)
  const bound: Bound = new Set()
  const args = (rule.args ?? []).map((arg) => compiler.pattern(arg, bound))
  const branches = rule.branches.map((branch) => ({
    branch,
    run: compiler.compileBody(
      branch.body,
      new Set(bound),
      (after) => yielding(branch, after, compiler),
      traced ? compileWatch : undefined,
    ),
  }))
  const keys = rule.branches[0]?.keys.length ?? 0
  return { args, branches, slots: slots.count, keys, loc: rule.loc }
}

/** What happens at the end of a body. */
function yielding(branch: Branch, bound: Bound, compiler: BodyCompiler): Step {
  const keys = branch.keys.map((key) => compiler.evaluator(key, bound))
  if (branch.member !== undefined)
    return memberStep(branch, keys, compiler.evaluator(branch.member, bound))
  if (branch.value === undefined) throw new RegoError('rego.internal', 'a rule yields nothing')
  if (keys.length > 0) return entryStep(branch, keys, compiler.evaluator(branch.value, bound))
  if (branch.value.kind === 'const') return constantStep(branch.value.value)
  return valueStep(branch, compiler.evaluator(branch.value, bound))
}

function constantStep(value: Value): Step {
  return (frame) => {
    frame.result = value
    return !frame.isExhaustive
  }
}

function valueStep({ loc }: Branch, value: Eval): Step {
  return (frame) => {
    const found = value(frame)
    if (found === undefined) return false
    if (frame.result !== undefined && !equal(frame.result, found))
      throw new RegoError('rego.conflict', 'rules must not produce multiple outputs', loc)
    frame.result = found
    return false
  }
}

function evaluateAll(frame: Frame, evals: readonly Eval[]): Value[] | undefined {
  const values: Value[] = []
  for (const evaluate of evals) {
    const value = evaluate(frame)
    if (value === undefined) return undefined
    values.push(value)
  }
  return values
}

function memberStep(
  { loc, keys: terms, member: term }: Branch,
  keys: readonly Eval[],
  member: Eval,
): Step {
  const isConstant = term?.kind === 'const' && terms.every((key) => key.kind === 'const')
  return (frame) => {
    const path = evaluateAll(frame, keys)
    const value = member(frame)
    if (path === undefined || value === undefined) return false
    frame.context.run.charge(48)
    frame.sink?.addMember(path, value, loc)
    frame.result = true
    return isConstant
  }
}

function entryStep({ loc, keys, value: term }: Branch, evals: readonly Eval[], value: Eval): Step {
  const isConstant = term?.kind === 'const' && keys.every((key) => key.kind === 'const')
  return (frame) => {
    const path = evaluateAll(frame, evals)
    const found = value(frame)
    if (path === undefined || found === undefined) return false
    frame.context.run.charge(64)
    if (!frame.isDefault || frame.sink?.has(path) !== true) frame.sink?.addValue(path, found, loc)
    frame.result = found
    return isConstant
  }
}
