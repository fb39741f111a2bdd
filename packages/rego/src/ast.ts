/** The tree that the parser makes: Rego's grammar, nothing resolved. Every node knows its place. */
import type { Location } from './error.ts'

export type Scalar = null | boolean | number | bigint | string

export interface ScalarTerm {
  readonly kind: 'scalar'
  readonly value: Scalar
  /** True for a raw string, which the formatter keeps. */
  readonly raw?: boolean
  readonly loc: Location
}
export interface VarTerm {
  readonly kind: 'var'
  readonly name: string
  readonly loc: Location
}
export interface RefTerm {
  readonly kind: 'ref'
  readonly head: Term
  /** What follows the head: `.x` is a string scalar. Never empty. */
  readonly path: readonly Term[]
  readonly loc: Location
}
export interface ArrayTerm {
  readonly kind: 'array'
  readonly items: readonly Term[]
  readonly loc: Location
}
export interface SetTerm {
  readonly kind: 'set'
  readonly items: readonly Term[]
  readonly loc: Location
}
export interface ObjectTerm {
  readonly kind: 'object'
  readonly entries: readonly (readonly [Term, Term])[]
  readonly loc: Location
}
/** A call, an infix operation (`infix` holds its symbol, `name` the built-in's name) or a membership test. */
export interface CallTerm {
  readonly kind: 'call'
  /** A variable or a ref of string scalars. */
  readonly operator: Term
  readonly args: readonly Term[]
  readonly infix?: string
  readonly loc: Location
}
export interface ArrayComprehension {
  readonly kind: 'array-comprehension'
  readonly term: Term
  readonly body: Body
  readonly loc: Location
}
export interface SetComprehension {
  readonly kind: 'set-comprehension'
  readonly term: Term
  readonly body: Body
  readonly loc: Location
}
export interface ObjectComprehension {
  readonly kind: 'object-comprehension'
  readonly key: Term
  readonly value: Term
  readonly body: Body
  readonly loc: Location
}
/** `$"text {term}"`. */
export interface TemplateTerm {
  readonly kind: 'template'
  readonly parts: readonly (string | Term)[]
  readonly raw: boolean
  readonly loc: Location
}

export type Term =
  | ScalarTerm
  | VarTerm
  | RefTerm
  | ArrayTerm
  | SetTerm
  | ObjectTerm
  | CallTerm
  | ArrayComprehension
  | SetComprehension
  | ObjectComprehension
  | TemplateTerm

export interface With {
  readonly target: Term
  readonly value: Term
  readonly loc: Location
}

interface ExprCommon {
  readonly with: readonly With[]
  readonly loc: Location
}
export interface TermExpr extends ExprCommon {
  readonly kind: 'term'
  readonly term: Term
}
/** `left := right` or `left = right`. */
export interface UnifyExpr extends ExprCommon {
  readonly kind: 'assign' | 'unify'
  readonly left: Term
  readonly right: Term
}
export interface SomeExpr extends ExprCommon {
  readonly kind: 'some'
  readonly vars: readonly VarTerm[]
}
export interface SomeInExpr extends ExprCommon {
  readonly kind: 'some-in'
  readonly key?: Term
  readonly value: Term
  readonly domain: Term
}
export interface EveryExpr extends ExprCommon {
  readonly kind: 'every'
  readonly key?: VarTerm
  readonly value: VarTerm
  readonly domain: Term
  readonly body: Body
}
export interface NotExpr extends ExprCommon {
  readonly kind: 'not'
  readonly expr: Expr
}
export type Expr = TermExpr | UnifyExpr | SomeExpr | SomeInExpr | EveryExpr | NotExpr
export type Body = readonly Expr[]

export interface Head {
  /** The path of the rule, from its first name: `p.q[x]` is `[var p, "q", var x]`. */
  readonly ref: readonly Term[]
  /** Present for a function, even without parameters. */
  readonly args?: readonly Term[]
  /** The element of `p contains key`, and of v0's `p[key]`. */
  readonly key?: Term
  /** Absent: `true`, or a multi-value rule. */
  readonly value?: Term
  /** Written with `:=`. */
  readonly assign: boolean
  readonly contains: boolean
  readonly loc: Location
}

export interface ElseBranch {
  /** Absent: `true`. */
  readonly value?: Term
  readonly assign: boolean
  /** Absent: always. */
  readonly body?: Body
  readonly loc: Location
}

export interface Rule {
  readonly default: boolean
  readonly head: Head
  /** Absent: the rule has no body. */
  readonly body?: Body
  readonly elses: readonly ElseBranch[]
  /** Written with `if`. */
  readonly hasIf: boolean
  /** Further bodies of v0's `p { … } { … }`. */
  readonly chained: readonly Body[]
  readonly loc: Location
}

export interface Import {
  readonly path: readonly string[]
  readonly alias?: string
  readonly loc: Location
}

export interface Comment {
  /** What follows `#`. */
  readonly text: string
  readonly loc: Location
  /** True when only white space stands before it on its line. */
  readonly ownLine: boolean
}

export type RegoVersion = 'v0' | 'v1'

export interface Module {
  readonly file: string
  readonly source: string
  /** What the module turned out to speak: `import rego.v1` makes it `v1`. */
  readonly version: RegoVersion
  readonly package: readonly string[]
  readonly packageLoc: Location
  readonly imports: readonly Import[]
  readonly rules: readonly Rule[]
  readonly comments: readonly Comment[]
}
