/** Ordered expressions and terms to closures. One instance compiles one rule or query. */
import { RegoError, type Location } from '../error.ts'
import type { Context, Frame } from '../evaluate/context.ts'
import type { Documents } from '../evaluate/documents.ts'
import { printText } from '../evaluate/print.ts'
import { equal, RegoSet, stringify, type Value } from '../value.ts'
import { compileCall } from './calls.ts'
import { chain, type Eval, type Match, type Piece, type Step } from './closures.ts'
import { arrayOf, arrayPattern, objectOf, objectPattern } from './collections.ts'
import { GATHERERS, type Gatherer } from './gatherers.ts'
import { isCallee, type Expr, type Local, type Term, type With } from './ir.ts'
import { changeContext, type Setter } from './modifiers.ts'
import { canEvaluate, matches, orderBody, Overlay, type Bound } from './order.ts'
import {
  compileGroundRef,
  dataStart,
  iteratingRef,
  visitMembers,
  type RefPart,
  type RefStart,
} from './refs.ts'
import { Slots } from './scope.ts'

/** Called before each expression of a rule's body, while explaining. */
export type Watch = (
  expr: Expr,
  at: {
    readonly index: number
    readonly bound: ReadonlySet<Local>
    readonly compiler: BodyCompiler
  },
) => Piece

export class BodyCompiler {
  readonly #documents: Documents
  readonly slots: Slots

  constructor(documents: Documents, slots: Slots) {
    this.#documents = documents
    this.slots = slots
  }

  /** A body; `bound` grows by what it binds. `last` runs once for each solution. */
  compileBody(
    body: readonly Expr[],
    bound: Bound,
    last: (bound: Bound) => Step,
    watch?: Watch,
  ): Step {
    const start = new Set(bound)
    const pieces: Piece[] = []
    for (const [index, expr] of orderBody(body, start).entries()) {
      if (watch !== undefined)
        pieces.push(watch(expr, { index, bound: new Set(bound), compiler: this }))
      this.#expr(expr, bound, pieces)
    }
    return chain(pieces, last(bound))
  }

  #expr(expr: Expr, bound: Bound, pieces: Piece[]): void {
    if (expr.with.length > 0) {
      pieces.push(this.#modified(expr, bound, pieces))
      return
    }
    switch (expr.kind) {
      case 'test':
        return this.#test(expr.term, bound, pieces)
      case 'unify':
        return this.#unify(expr.left, expr.right, bound, pieces)
      case 'some-in':
        return this.#someIn(expr, bound, pieces)
      case 'not': {
        const found = this.compileBody(expr.expr, new Set(bound), () => () => true)
        pieces.push({ kind: 'once', holds: (frame) => !found(frame) })
        return
      }
      case 'every':
        return this.#every(expr, bound, pieces)
      default:
        expr satisfies never
    }
  }

  #test(term: Term, bound: Bound, pieces: Piece[]): void {
    const value = this.evaluator(this.#hoist(term, bound, pieces), bound)
    pieces.push({
      kind: 'once',
      holds: (frame) => {
        frame.context.run.step()
        const result = value(frame)
        return result !== undefined && result !== false
      },
    })
  }

  #unify(left: Term, right: Term, bound: Bound, pieces: Piece[]): void {
    const known = new Overlay(bound)
    const [pattern, term] = canEvaluate(right, known) ? [left, right] : [right, left]
    // A ref that iterates can bind what it finds without a detour.
    const value = this.evaluator(this.#hoist(term, bound, pieces), bound)
    const match = this.#pattern(this.#hoistPattern(pattern, bound, pieces), bound)
    pieces.push({
      kind: 'once',
      holds: (frame) => {
        frame.context.run.step()
        const result = value(frame)
        return result !== undefined && match(frame, result)
      },
    })
  }

  #someIn(expr: Extract<Expr, { kind: 'some-in' }>, bound: Bound, pieces: Piece[]): void {
    const domain = this.evaluator(this.#hoist(expr.domain, bound, pieces), bound)
    const keyTerm = expr.key && this.#hoistPattern(expr.key, bound, pieces)
    const valueTerm = this.#hoistPattern(expr.value, bound, pieces)
    const key: Match = keyTerm === undefined ? () => true : this.#pattern(keyTerm, bound)
    const value = this.#pattern(valueTerm, bound)
    pieces.push({
      kind: 'each',
      make: (next) => (frame) => {
        const collection = domain(frame)
        if (collection === undefined) return false
        return visitMembers(
          frame,
          collection,
          key,
          (at, member) => value(at, member as Value) && next(at),
        )
      },
    })
  }

  #every(expr: Extract<Expr, { kind: 'every' }>, bound: Bound, pieces: Piece[]): void {
    const domain = this.evaluator(this.#hoist(expr.domain, bound, pieces), bound)
    const inner = new Set(bound)
    inner.add(expr.value)
    if (expr.key !== undefined) inner.add(expr.key)
    const holds = this.compileBody(expr.closure.body, inner, () => () => true)
    const { key, value } = expr
    const bindKey: Match = (frame, member) => {
      if (key !== undefined) frame.slots[key.slot] = member
      return true
    }
    pieces.push({
      kind: 'once',
      holds: (frame) => {
        const collection = domain(frame)
        if (typeof collection !== 'object' || collection === null) return false
        const counterexample = visitMembers(frame, collection, bindKey, (at, member) => {
          at.slots[value.slot] = member as Value
          if (holds(at)) return false
          at.attempt?.counterexample(member as Value)
          return true
        })
        return !counterexample
      },
    })
  }

  /** An expression under `with`: it runs in a context of its own, what follows it in the old one. */
  #modified(expr: Expr, bound: Bound, pieces: Piece[]): Piece {
    const setters = expr.with.map((modifier) => this.#setter(modifier, bound, pieces))
    const inner: Piece[] = []
    this.#expr({ ...expr, with: [] }, bound, inner)
    const make = (next: Step): Step => {
      const body = chain(inner, (frame) => {
        const changed = frame.context
        frame.context = changed.parent as Context
        const stop = next(frame)
        frame.context = changed
        return stop
      })
      return (frame) => {
        const outer = frame.context
        const changed = changeContext(outer, setters, frame)
        if (changed === undefined) return false
        frame.context = changed
        const stop = body(frame)
        frame.context = outer
        return stop
      }
    }
    return { kind: 'each', make }
  }

  #setter(modifier: With, bound: Bound, pieces: Piece[]): Setter {
    const { target, value } = modifier
    if (isCallee(value)) return { target, value: { kind: 'callee', callee: value } }
    return { target, value: this.evaluator(this.#hoist(value, bound, pieces), bound) }
  }

  /** Takes what iterates out of a term, as pieces that run before it; binds what they bind. */
  #hoist(term: Term, bound: Bound, pieces: Piece[]): Term {
    switch (term.kind) {
      case 'const':
      case 'local':
      case 'input':
      case 'data':
      case 'comprehension':
        return term
      case 'ref':
        return this.#hoistRef(term, bound, pieces)
      case 'array':
      case 'set':
        return { ...term, items: term.items.map((item) => this.#hoist(item, bound, pieces)) }
      case 'object': {
        const entries = term.entries.map(
          ([key, value]) =>
            [this.#hoist(key, bound, pieces), this.#hoist(value, bound, pieces)] as const,
        )
        return { ...term, entries }
      }
      case 'call':
        return this.#hoistCall(term, bound, pieces)
      case 'template': {
        const parts = term.parts.map((part) =>
          typeof part === 'string' || !this.#iterates(part, bound)
            ? part
            : this.#hoist(part, bound, pieces),
        )
        return { ...term, parts }
      }
      default:
        return term satisfies never
    }
  }

  /** Whether evaluating `term` binds variables or yields several values. */
  #iterates(term: Term, bound: Bound): boolean {
    const trial: Piece[] = []
    this.#hoist(term, new Set(bound), trial)
    return trial.length > 0
  }

  #hoistCall(term: Extract<Term, { kind: 'call' }>, bound: Bound, pieces: Piece[]): Term {
    const { callee } = term
    if (callee.kind === 'builtin' && callee.builtin.variadic === true) return term
    const call = { ...term, args: term.args.map((arg) => this.#hoist(arg, bound, pieces)) }
    if (callee.kind !== 'builtin' || callee.builtin.relation !== true) return call
    const all = this.evaluator(call, bound)
    const local = this.slots.take('each')
    pieces.push({
      kind: 'each',
      make: (next) => (frame) => {
        const results = all(frame)
        if (results === undefined) return false
        for (const result of results as readonly Value[]) {
          frame.context.run.step()
          frame.slots[local.slot] = result
          if (next(frame)) return true
        }
        return false
      },
    })
    bound.add(local)
    return { kind: 'local', local, loc: term.loc }
  }

  #hoistRef(term: Extract<Term, { kind: 'ref' }>, bound: Bound, pieces: Piece[]): Term {
    let head = this.#hoist(term.head, bound, pieces)
    let path: Term[] = []
    const running = new Overlay(bound)
    for (const part of term.path) {
      if (part.kind === 'const' || part.kind === 'local') path.push(part)
      else if (canEvaluate(part, new Overlay(bound))) path.push(this.#hoist(part, bound, pieces))
      else if (!canEvaluate(part, running)) path.push(this.#hoistPattern(part, bound, pieces))
      else {
        // It needs what earlier parts bind: those run first.
        head = this.#iterate(head, path, bound, pieces)
        path = [this.#hoist(part, bound, pieces)]
      }
      matches(part, running)
    }
    const known = new Overlay(bound)
    if (path.every((part) => canEvaluate(part, known))) return { ...term, head, path }
    return this.#iterate(head, path, bound, pieces)
  }

  /** A ref that iterates, as a piece; the local that holds each value it finds. */
  #iterate(head: Term, path: readonly Term[], bound: Bound, pieces: Piece[]): Term {
    const local = this.slots.take('each')
    const { slot } = local
    const start = this.#refStart(head, path, bound)
    const parts = start.rest.map((part): RefPart =>
      canEvaluate(part, new Overlay(bound))
        ? { kind: 'key', key: this.evaluator(part, bound) }
        : { kind: 'pattern', match: this.#pattern(part, bound) },
    )
    const found: Match = (frame, value) => {
      frame.slots[slot] = value
      return true
    }
    pieces.push(iteratingRef(start, parts, found))
    bound.add(local)
    return { kind: 'local', local, loc: head.loc }
  }

  /** Like {@link #hoist}, for a term that may hold variables to bind. */
  #hoistPattern(term: Term, bound: Bound, pieces: Piece[]): Term {
    switch (term.kind) {
      case 'local':
        return term
      case 'array':
        return { ...term, items: term.items.map((item) => this.#hoistPattern(item, bound, pieces)) }
      case 'object': {
        const entries = term.entries.map(
          ([key, value]) =>
            [this.#hoist(key, bound, pieces), this.#hoistPattern(value, bound, pieces)] as const,
        )
        return { ...term, entries }
      }
      default:
        // A call or ref inside a pattern may use variables that the pattern itself binds: then it stays.
        return canEvaluate(term, new Overlay(bound)) ? this.#hoist(term, bound, pieces) : term
    }
  }

  /** Matches values against a term; variables not yet bound are bound in order. */
  #pattern(term: Term, bound: Bound): Match {
    if (term.kind === 'local' && !bound.has(term.local)) {
      bound.add(term.local)
      const { slot } = term.local
      return (frame, value) => {
        frame.slots[slot] = value
        return true
      }
    }
    if (term.kind === 'array' && !canEvaluate(term, new Overlay(bound)))
      return arrayPattern(term.items.map((item) => this.#pattern(item, bound)))
    if (term.kind === 'object' && !canEvaluate(term, new Overlay(bound)))
      return objectPattern(
        term.entries.map(
          ([key, value]) => [this.evaluator(key, bound), this.#pattern(value, bound)] as const,
        ),
      )
    const expected = this.evaluator(term, bound)
    return (frame, value) => {
      const other = expected(frame)
      return other !== undefined && equal(value, other)
    }
  }

  /** Public for arguments of functions. */
  pattern(term: Term, bound: Bound): Match {
    return this.#pattern(term, bound)
  }

  /** The value of a term that does not iterate (any more). */
  evaluator(term: Term, bound: Bound): Eval {
    switch (term.kind) {
      case 'const': {
        const { value } = term
        return () => value
      }
      case 'local': {
        const { slot } = term.local
        if (!bound.has(term.local))
          throw new RegoError('rego.unsafe-var', `var ${term.local.name} is unsafe`, term.loc)
        return (frame) => frame.slots[slot]
      }
      case 'input':
        return (frame) => frame.context.input
      case 'data':
        return compileGroundRef(dataStart([], this.#documents), [])
      case 'ref': {
        const start = this.#refStart(term.head, term.path, bound)
        return compileGroundRef(
          start,
          start.rest.map((part) => this.evaluator(part, bound)),
        )
      }
      case 'array':
        return arrayOf(term.items.map((item) => this.evaluator(item, bound)))
      case 'set': {
        const items = arrayOf(term.items.map((item) => this.evaluator(item, bound)))
        return (frame) => {
          const values = items(frame)
          return values === undefined ? undefined : RegoSet.of(values as readonly Value[])
        }
      }
      case 'object':
        return objectOf(
          term.entries.map(
            ([key, value]) => [this.evaluator(key, bound), this.evaluator(value, bound)] as const,
          ),
        )
      case 'call':
        return this.#call(term, bound)
      case 'template':
        return this.#template(term, bound)
      case 'comprehension':
        return this.#comprehension(term, bound)
      default:
        return term satisfies never
    }
  }

  #refStart(head: Term, path: readonly Term[], bound: Bound): RefStart {
    if (head.kind === 'data') return dataStart(path, this.#documents)
    return { from: this.evaluator(head, bound), rest: path }
  }

  #call(term: Extract<Term, { kind: 'call' }>, bound: Bound): Eval {
    const { callee, args, loc } = term
    if (callee.kind === 'builtin' && callee.name === 'print') return this.#print(args, bound, loc)
    if (callee.kind === 'rule') this.#documents.dependsOn(callee.rules)
    const values = args.map((arg) => this.evaluator(arg, bound))
    return compileCall(callee, values, loc, this.#documents)
  }

  /** `print` takes undefined arguments, and prints once for each combination of values of those that iterate. */
  #print(args: readonly Term[], bound: Bound, loc: Location): Eval {
    this.#documents.notePrint()
    const values = args.map((arg) => this.#allValues(arg, bound))
    return (frame) => {
      const { run } = frame.context
      let lines = ['']
      for (const [at, value] of values.entries()) {
        const texts = value(frame).map(printText)
        if (texts.length === 0) texts.push('<undefined>')
        lines = lines.flatMap((line) => texts.map((text) => (at === 0 ? text : `${line} ${text}`)))
      }
      for (const line of lines) {
        run.charge(line.length * 2)
        run.prints.push(`${loc.file}:${loc.row}: ${line}`)
      }
      return true
    }
  }

  /** All values of a term that may iterate, without binding anything outside. */
  #allValues(term: Term, bound: Bound): (frame: Frame) => Value[] {
    const inner = new Set(bound)
    const pieces: Piece[] = []
    const value = this.evaluator(this.#hoist(term, inner, pieces), inner)
    return (frame) => {
      const found: Value[] = []
      chain(pieces, (at) => {
        const result = value(at)
        if (result !== undefined) found.push(result)
        return false
      })(frame)
      return found
    }
  }

  #template(term: Extract<Term, { kind: 'template' }>, bound: Bound): Eval {
    const parts = term.parts.map((part) =>
      typeof part === 'string' ? part : this.evaluator(part, bound),
    )
    return (frame) => {
      let text = ''
      for (const part of parts) {
        if (typeof part === 'string') text += part
        else {
          const value = part(frame)
          text +=
            value === undefined
              ? '<undefined>'
              : typeof value === 'string'
                ? value
                : stringify(value)
        }
      }
      frame.context.run.charge(text.length * 2)
      return text
    }
  }

  #comprehension(term: Extract<Term, { kind: 'comprehension' }>, bound: Bound): Eval {
    const inner = new Set(bound)
    const { slot } = this.slots.take('gathered')
    const gather = (after: Bound): Step => {
      const value = this.evaluator(term.value, after)
      const key = term.key && this.evaluator(term.key, after)
      return (frame) => {
        const member = value(frame)
        const at = key?.(frame)
        if (member === undefined || (key !== undefined && at === undefined)) return false
        frame.context.run.charge(32)
        const gathered = frame.slots[slot] as unknown as Gatherer
        gathered.add(member, at, term.loc)
        return false
      }
    }
    const run = this.compileBody(term.closure.body, inner, gather)
    const create = GATHERERS[term.type]
    return (frame) => {
      // The slot is kept from an outer run of the same comprehension.
      const outer = frame.slots[slot]
      const gathered = create()
      frame.slots[slot] = gathered as unknown as Value
      run(frame)
      frame.slots[slot] = outer
      return gathered.value()
    }
  }
}
