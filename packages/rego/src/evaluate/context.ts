/** What a body sees: documents, caches, the variables of its rule, and whom it tells what happens while a policy is explained. */
import type { Branch, Callee, RuleSet } from '../compile/ir.ts'
import type { Location } from '../error.ts'
import { lookup, type Value } from '../value.ts'
import type { Run } from './run.ts'
import type { Sink } from './sink.ts'

/** A document that is being evaluated or has no value. */
export const PENDING = Symbol('pending')
export const UNDEFINED = Symbol('undefined')
export type Cached = Value | typeof PENDING | typeof UNDEFINED | undefined

export type Mock =
  | { readonly kind: 'value'; readonly value: Value }
  | { readonly kind: 'callee'; readonly callee: Callee }

/** One view of `input` and `data`; `with` makes another one with caches of its own. */
export class Context {
  readonly run: Run
  readonly input: Value | undefined
  readonly data: Value
  /** Values of documents, by the id of their rules. */
  readonly cache: Cached[]
  /** Function (by name) to what stands in for it. */
  readonly mocks: ReadonlyMap<string, Mock> | undefined
  /** Paths that `with` has replaced: their rules do not count. */
  readonly masks: readonly DataMask[] | undefined
  readonly parent: Context | undefined
  readonly tracer: Tracer | undefined

  constructor(options: {
    run: Run
    input: Value | undefined
    data: Value
    documents: number
    mocks?: ReadonlyMap<string, Mock> | undefined
    masks?: readonly DataMask[] | undefined
    parent?: Context
    tracer?: Tracer | undefined
  }) {
    this.run = options.run
    this.input = options.input
    this.data = options.data
    this.cache = Array.from<Cached>({ length: options.documents })
    this.mocks = options.mocks
    this.masks = options.masks
    this.parent = options.parent
    this.tracer = options.tracer
  }

  /** The base document at a path. */
  base(path: readonly string[]): Value | undefined {
    let value: Value | undefined = this.data
    for (let at = 0; at < path.length && value !== undefined; at++)
      value = lookup(value, path[at] as string)
    return value
  }

  isMasked(path: readonly string[]): boolean {
    return this.masks?.some((mask) => isPrefix(mask, path)) ?? false
  }
}

export type DataMask = readonly string[]

function isPrefix(prefix: readonly string[], path: readonly string[]): boolean {
  return prefix.length <= path.length && prefix.every((name, at) => name === path[at])
}

/** Slots without values. */
export function emptySlots(count: number): (Value | undefined)[] {
  const slots: (Value | undefined)[] = []
  slots.length = count
  return slots
}

/** The variables of one rule while it runs. */
export interface Frame {
  context: Context
  readonly slots: (Value | undefined)[]
  /** The value found so far, for documents and functions with one value. */
  result: Value | undefined
  /** Where partial rules put what they yield. */
  sink: Sink | undefined
  /** All solutions run, although one would do, because the rule prints. */
  isExhaustive: boolean
  /** A default fills only places that are empty. */
  isDefault: boolean
  /** Present while explaining. */
  attempt: Attempt | undefined
}

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

/** What the evaluator tells an explanation while a policy runs. */
export interface Tracer {
  enter(set: RuleSet, args: readonly Value[] | undefined, loc?: Location): void
  leave(value: Value | undefined): void
  /** A document whose value is known already. */
  again(set: RuleSet): void
  attempt(branch: Branch, frame: Frame): Attempt
  mismatch(rule: { readonly loc: Location }): void
  builtinError(message: string, loc: Location): void
}
