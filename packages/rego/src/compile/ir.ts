/**
 * What resolving makes of the tree: every name is a local, `input`, `data` or a function, `:=` is unification
 * with a fresh local, and calls know their function. Ordering and code generation work on this.
 */
import type { Body, Module, Rule, Term as SourceTerm } from '../ast.ts'
import type { Builtin } from '../builtins/registry.ts'
import type { Location } from '../error.ts'
import type { Value } from '../value.ts'

/** A variable of a rule. */
export interface Local {
  readonly name: string
  readonly slot: number
}

export type Callee =
  | { readonly kind: 'builtin'; readonly name: string; readonly builtin: Builtin }
  | { readonly kind: 'rule'; readonly name: string; readonly rules: RuleSet }

/** A body nested in a term or in `every`: what it reads from outside must be bound before. */
export interface Closure {
  readonly body: readonly Expr[]
  readonly captures: ReadonlySet<Local>
}

export type Term = { readonly loc: Location } & (
  | { readonly kind: 'const'; readonly value: Value }
  | { readonly kind: 'local'; readonly local: Local }
  | { readonly kind: 'input' }
  | { readonly kind: 'data' }
  | { readonly kind: 'ref'; readonly head: Term; readonly path: readonly Term[] }
  | { readonly kind: 'array'; readonly items: readonly Term[] }
  | { readonly kind: 'set'; readonly items: readonly Term[] }
  | { readonly kind: 'object'; readonly entries: readonly (readonly [Term, Term])[] }
  | { readonly kind: 'call'; readonly callee: Callee; readonly args: readonly Term[] }
  | {
      readonly kind: 'comprehension'
      readonly type: 'array' | 'set' | 'object'
      /** For objects. */
      readonly key?: Term
      readonly value: Term
      readonly closure: Closure
    }
  | { readonly kind: 'template'; readonly parts: readonly (string | Term)[] }
)

export type WithTarget =
  | { readonly kind: 'input'; readonly path: readonly string[] }
  | { readonly kind: 'data'; readonly path: readonly string[] }
  | { readonly kind: 'function'; readonly callee: Callee }

export interface With {
  readonly target: WithTarget
  /** A term, or the function that stands in for another. */
  readonly value: Term | Callee
}

export type Expr = { readonly loc: Location; readonly with: readonly With[] } & (
  | { readonly kind: 'test'; readonly term: Term }
  | { readonly kind: 'unify'; readonly left: Term; readonly right: Term }
  | {
      readonly kind: 'some-in'
      readonly key?: Term
      readonly value: Term
      readonly domain: Term
    }
  | { readonly kind: 'not'; readonly expr: readonly Expr[] }
  | {
      readonly kind: 'every'
      readonly key?: Local
      readonly value: Local
      readonly domain: Term
      readonly closure: Closure
    }
)

/** One body of a rule with what it yields. */
export interface Branch {
  readonly body: readonly Expr[]
  /** Absent for members of a set. */
  readonly value?: Term
  /** The member of a multi-value rule. */
  readonly member?: Term
  /** The keys behind the static path of the rule, outermost first. */
  readonly keys: readonly Term[]
  readonly loc: Location
}

export interface ResolvedRule {
  readonly args?: readonly Term[]
  /** The rule and its `else` branches, tried in order. */
  readonly branches: readonly Branch[]
  readonly slots: number
  readonly loc: Location
}

/** A rule as written, with the part of its head that lies behind the static path. */
export interface RuleSource {
  readonly module: Module
  readonly rule: Rule
  /** One of the rule's bodies; absent when it has none. */
  readonly body?: Body
  readonly keys: readonly SourceTerm[]
}

export type RuleKind = 'complete' | 'function' | 'partial'

/** All rules that define the document at one path. */
export interface RuleSet {
  readonly id: number
  readonly path: readonly string[]
  kind: RuleKind
  /** Parameters of a function. */
  readonly arity: number
  /** Written with parentheses. Without parameters it is a document that can be called. */
  readonly callable: boolean
  readonly sources: RuleSource[]
  readonly defaults: RuleSource[]
  /** Filled by the resolver. */
  resolved: readonly ResolvedRule[]
  resolvedDefaults: readonly ResolvedRule[]
}

export function isCallee(value: Term | Callee): value is Callee {
  return value.kind === 'builtin' || value.kind === 'rule'
}
