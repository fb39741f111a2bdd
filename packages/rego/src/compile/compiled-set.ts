/** What compiling makes of the rules of one document. */
import type { Context } from '../evaluate/context.ts'
import type { Value } from '../value.ts'
import type { Match, Step } from './closures.ts'
import type { Branch, ResolvedRule, RuleKind, RuleSet } from './ir.ts'

export interface CompiledBranch {
  readonly branch: Branch
  readonly run: Step
}

export interface CompiledRule {
  readonly args: readonly Match[]
  readonly branches: readonly CompiledBranch[]
  readonly slots: number
  /** How many keys a partial rule has. */
  readonly keys: number
  readonly loc: ResolvedRule['loc']
}

export interface CompiledSet {
  readonly set: RuleSet
  readonly kind: RuleKind
  readonly sinkKind: 'set' | 'object'
  readonly defaults: readonly CompiledRule[]
  /** All rules yield one and the same constant: the first that holds decides. */
  readonly sameConstant: boolean
  /** The rules that may hold, in order. */
  readonly candidates: (
    context: Context,
    args: readonly Value[] | undefined,
  ) => readonly CompiledRule[]
}
