/** What the evaluator tells an explanation while a policy runs. */
import type { Branch } from '../compile/ir.ts'
import type { RuleSet } from '../compile/rule-tree.ts'
import type { Location } from '../error.ts'
import type { Frame } from '../evaluate/context.ts'
import type { Value } from '../value.ts'

/** A part of an expression whose value is worth showing. */
export interface Probe {
  readonly text: string
  readonly evaluate: (frame: Frame) => Value | undefined
  /** The document it reads, for redaction: `['input', 'token']`. Absent: a variable or a call. */
  readonly path: readonly string[] | undefined
}

/** An expression of a rule's body, in the order of evaluation. */
export interface Watched {
  readonly index: number
  readonly loc: Location
  readonly probes: readonly Probe[]
}

/** One body of a rule while it is tried. */
export interface Attempt {
  reach(watched: Watched, frame: Frame): void
  /** The member for which the body of `every` did not hold. */
  counterexample(member: Value): void
  finish(result: Value | undefined): void
}

export interface Tracer {
  enter(set: RuleSet, args: readonly Value[] | undefined, loc?: Location): void
  leave(value: Value | undefined): void
  /** A document whose value is known already. */
  again(set: RuleSet): void
  attempt(branch: Branch, frame: Frame): Attempt
  mismatch(rule: { readonly loc: Location }): void
  builtinError(message: string, loc: Location): void
}
