/** The virtual documents of a compiled policy: evaluates rules, once for each context. */
import type { RuleSet } from '../compile/ir.ts'
import { RegoError, type Location } from '../error.ts'
import type { Match } from '../compile/closures.ts'
import type { CompiledRule, CompiledSet } from '../compile/compiled-set.ts'
import type { DataNode } from '../compile/rule-tree.ts'
import { equal, ObjectBuilder, RegoObject, type Value } from '../value.ts'
import { emptySlots, PENDING, UNDEFINED, type Context, type Frame } from './context.ts'
import { Sink } from './sink.ts'

/** The compiler knows the documents that it compiles for, so they are given it. */
export type CompileSet = (set: RuleSet, documents: Documents, traced: boolean) => CompiledSet

export interface DocumentsOptions {
  readonly traced: boolean
  readonly compileSet: CompileSet
}

export class Documents {
  readonly root: DataNode
  readonly size: number
  readonly #compiled: (CompiledSet | undefined)[] = []
  readonly #traced: boolean
  readonly #compileSet: CompileSet
  /** The document being compiled, and what each one uses. */
  #current: RuleSet | undefined
  readonly uses = new Map<RuleSet, Set<RuleSet>>()
  /** Documents whose evaluation may print: all their rules run, so that every print is seen. */
  readonly #printing = new Set<RuleSet>()

  constructor(root: DataNode, size: number, options: DocumentsOptions) {
    this.root = root
    this.size = size
    this.#traced = options.traced
    this.#compileSet = options.compileSet
  }

  compile(sets: readonly RuleSet[]): void {
    for (const set of sets) {
      this.#current = set
      this.uses.set(set, new Set())
      this.#compiled[set.id] = this.#compileSet(set, this, this.#traced)
    }
    this.#current = undefined
    this.#spreadPrinting()
  }

  /** The document being compiled prints. */
  notePrint(): void {
    if (this.#current !== undefined) this.#printing.add(this.#current)
  }

  /** What uses a document that prints, prints. */
  #spreadPrinting(): void {
    const users = new Map<RuleSet, RuleSet[]>()
    for (const [user, used] of this.uses)
      for (const set of used) users.set(set, [...(users.get(set) ?? []), user])
    const pending = [...this.#printing]
    for (let set = pending.pop(); set !== undefined; set = pending.pop())
      for (const user of users.get(set) ?? [])
        if (!this.#printing.has(user)) {
          this.#printing.add(user)
          pending.push(user)
        }
  }

  dependsOn(set: RuleSet): void {
    if (this.#current !== undefined) this.uses.get(this.#current)?.add(set)
  }

  /** What a ref may reach from `node` on; undefined stands for a name that is not known. */
  dependsOnReachable(node: DataNode, names: readonly (string | undefined)[]): void {
    if (node.rules !== undefined) {
      if (node.rules.kind !== 'function') this.dependsOn(node.rules)
      return
    }
    const [name, ...rest] = names
    for (const [key, child] of node.children)
      if (name === undefined || name === key) this.dependsOnReachable(child, rest)
  }

  /** The value of the document that `set` defines. */
  value(context: Context, set: RuleSet): Value | undefined {
    const cached = context.cache[set.id]
    if (cached === undefined) return this.#evaluate(context, set)
    if (cached === UNDEFINED) {
      context.tracer?.again(set)
      return undefined
    }
    if (cached === PENDING)
      throw new RegoError('rego.recursion', `rule data.${set.path.join('.')} is recursive`)
    context.tracer?.again(set)
    return cached
  }

  #evaluate(context: Context, set: RuleSet): Value | undefined {
    // What the caller or `with` puts at the place of a rule goes before the rule.
    const base = context.base(set.path)
    if (base !== undefined || (context.masks !== undefined && context.isMasked(set.path))) {
      context.cache[set.id] = base === undefined ? UNDEFINED : base
      return base
    }
    context.cache[set.id] = PENDING
    context.run.enter()
    const compiled = this.#compiled[set.id] as CompiledSet
    context.tracer?.enter(set, undefined)
    const value =
      compiled.kind === 'partial'
        ? this.#partial(context, compiled)
        : this.#single(context, compiled, undefined)
    context.tracer?.leave(value)
    context.run.leave()
    context.cache[set.id] = value === undefined ? UNDEFINED : value
    return value
  }

  /** Calls a function. */
  call(context: Context, set: RuleSet, args: readonly Value[], loc: Location): Value | undefined {
    // A function without parameters is a document.
    if (set.kind === 'complete') return this.value(context, set)
    const { run } = context
    run.step()
    run.enter()
    const compiled = this.#compiled[set.id] as CompiledSet
    context.tracer?.enter(set, args, loc)
    const value = this.#single(context, compiled, args)
    context.tracer?.leave(value)
    run.leave()
    return value
  }

  #single(
    context: Context,
    set: CompiledSet,
    args: readonly Value[] | undefined,
  ): Value | undefined {
    let result: Value | undefined
    const exhaustive = set.kind === 'function' && this.#printing.has(set.set)
    for (const rule of set.candidates(context, args)) {
      const value = this.#try(context, rule, args, exhaustive)
      if (value === undefined) continue
      if (result === undefined) {
        result = value
        if (set.sameConstant && !this.#printing.has(set.set)) break
      } else if (!equal(result, value)) conflict(set, rule.loc)
    }
    return result === undefined ? this.#default(context, set, args) : result
  }

  #default(
    context: Context,
    set: CompiledSet,
    args: readonly Value[] | undefined,
  ): Value | undefined {
    const [rule] = set.defaults
    if (rule === undefined || rule.keys > 0) return undefined
    return this.#try(context, rule, args, false, true)
  }

  /** The value of a rule or of the first of its `else` branches that has one. */
  #try(
    context: Context,
    rule: CompiledRule,
    args: readonly Value[] | undefined,
    exhaustive: boolean,
    isDefault = false,
  ): Value | undefined {
    context.run.step()
    const frame = newFrame(context, rule)
    frame.isExhaustive = exhaustive
    if (args !== undefined && !matchAll(frame, rule.args, args)) {
      context.tracer?.mismatch(rule)
      return undefined
    }
    for (const branch of rule.branches) {
      if (context.tracer !== undefined && !isDefault)
        frame.attempt = context.tracer.attempt(branch.branch, frame)
      branch.run(frame)
      frame.attempt?.finish(frame.result)
      if (frame.result !== undefined) return frame.result
    }
    return undefined
  }

  #partial(context: Context, set: CompiledSet): Value | undefined {
    const sink = new Sink(set.sinkKind)
    for (const rule of set.candidates(context, undefined)) {
      context.run.step()
      const frame = newFrame(context, rule)
      frame.sink = sink
      for (const branch of rule.branches) {
        if (context.tracer !== undefined)
          frame.attempt = context.tracer.attempt(branch.branch, frame)
        branch.run(frame)
        frame.attempt?.finish(frame.result)
        if (frame.result !== undefined) break
      }
    }
    return this.#withDefaults(context, set, sink)
  }

  #withDefaults(context: Context, set: CompiledSet, sink: Sink): Value | undefined {
    for (const rule of set.defaults) {
      const frame = newFrame(context, rule)
      if (rule.keys === 0) {
        if (!sink.isEmpty) continue
        return this.#try(context, rule, undefined, false, true)
      }
      frame.sink = sink
      frame.isDefault = true
      for (const branch of rule.branches) branch.run(frame)
    }
    return sink.value()
  }

  /** The whole document at a node: its rules and packages over the base document. */
  materialize(context: Context, node: DataNode): Value | undefined {
    if (node.rules !== undefined && node.rules.kind !== 'function')
      return this.value(context, node.rules)
    const base = context.base(node.path)
    if (context.masks !== undefined && context.isMasked(node.path)) return base
    if (base !== undefined && !(base instanceof RegoObject)) return base
    const builder: ObjectBuilder = (base ?? RegoObject.empty).toBuilder()
    for (const [name, child] of node.children) {
      if (child.rules?.kind === 'function' && child.children.size === 0) continue
      const value = this.materialize(context, child)
      if (value !== undefined) builder.set(name, value)
    }
    context.run.charge(32 + 32 * builder.size)
    return builder.build()
  }
}

function newFrame(context: Context, rule: CompiledRule): Frame {
  return {
    context,
    slots: emptySlots(rule.slots),
    result: undefined,
    sink: undefined,
    isExhaustive: false,
    isDefault: false,
    attempt: undefined,
  }
}

function matchAll(frame: Frame, patterns: readonly Match[], args: readonly Value[]): boolean {
  for (let at = 0; at < patterns.length; at++)
    if (!(patterns[at] as Match)(frame, args[at] as Value)) return false
  return true
}

function conflict(set: CompiledSet, loc: Location): never {
  const message =
    set.kind === 'function'
      ? 'functions must not produce multiple outputs for same inputs'
      : 'complete rules must not produce multiple outputs'
  throw new RegoError('rego.conflict', message, loc)
}
