/** Records, while a policy runs, which rules were tried and how far each came. */
import type { CompiledBranch, CompiledRule } from '../compile/set-compiler.ts'
import type { RuleSet } from '../compile/rule-tree.ts'
import type { Location } from '../error.ts'
import type { Frame } from '../evaluate/context.ts'
import type { Value } from '../value.ts'

/** One body of a rule while it is tried. */
export interface Attempt {
  reach(index: number, frame: Frame): void
  finish(result: Value | undefined): void
}

/** What the evaluator tells an explanation. */
export interface Tracer {
  enter(set: RuleSet, args: readonly Value[] | undefined, loc?: Location): unknown
  leave(span: unknown, value: Value | undefined): void
  again(set: RuleSet): void
  attempt(branch: CompiledBranch, frame: Frame): Attempt
  mismatch(rule: CompiledRule, args: readonly Value[]): void
  builtinError(message: string, loc: Location): void
}
