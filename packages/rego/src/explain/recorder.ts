/** Builds an explanation from what the evaluator tells. */
import type { Branch, RuleSet } from '../compile/ir.ts'
import type { Location } from '../error.ts'
import { stringify, type Value } from '../value.ts'
import {
  closestSteps,
  placeOf,
  type AttemptTrace,
  type Explanation,
  type ExplainOptions,
  type RuleTrace,
  type SeenValue,
} from './explanation.ts'
import { REDACTED, Redaction } from './redaction.ts'
import type { Attempt, Frame, Tracer, Watched } from '../evaluate/context.ts'

/** How many documents, calls and attempts an explanation keeps. */
const MAX_RECORDS = 5000
/** The longest value or expression it shows. */
const MAX_TEXT = 200

interface OpenRule {
  readonly name: string
  readonly args: readonly string[] | undefined
  readonly attempts: AttemptTrace[]
}

export class Recorder implements Tracer {
  readonly #redaction: Redaction
  readonly #roots: RuleTrace[] = []
  readonly #open: OpenRule[] = []
  readonly #sets: RuleSet[] = []
  readonly #attempts: OpenAttempt[] = []
  readonly #known = new Map<RuleSet, string | undefined>()
  readonly #builtinErrors: { message: string; file: string; row: number }[] = []
  #records = 0
  #silent = 0

  constructor(options: ExplainOptions) {
    this.#redaction = new Redaction(options.redact ?? [])
  }

  begin(input: Value | undefined, data: Value): void {
    this.#redaction.learn(input, data)
  }

  finish(isNegative: boolean): Explanation {
    return {
      rules: this.#roots,
      closest: isNegative ? closestSteps(this.#roots) : [],
      builtinErrors: this.#builtinErrors,
      truncated: this.#records > MAX_RECORDS,
    }
  }

  text(value: Value): string {
    return cut(stringify(this.#redaction.redact(value)))
  }

  get #isKept(): boolean {
    return this.#silent === 0 && this.#records < MAX_RECORDS
  }

  #count(): boolean {
    return this.#silent === 0 && ++this.#records <= MAX_RECORDS
  }

  enter(set: RuleSet, args: readonly Value[] | undefined): void {
    this.#open.push({
      name: `data.${set.path.join('.')}`,
      // Large arguments take long to print: not for what is not kept.
      args: args?.map((arg) => (this.#isKept ? this.text(arg) : '…')),
      attempts: [],
    })
    this.#sets.push(set)
  }

  leave(value: Value | undefined): void {
    const rule = this.#open.pop()
    const set = this.#sets.pop()
    if (rule === undefined || set === undefined) return
    const text = value === undefined ? undefined : this.#isKept ? this.text(value) : '…'
    if (rule.args === undefined) this.#known.set(set, text)
    this.#record({
      name: rule.name,
      ...(rule.args === undefined ? {} : { args: rule.args }),
      ...(text === undefined ? {} : { value: text }),
      attempts: rule.attempts,
    })
  }

  #record(trace: RuleTrace): void {
    if (!this.#count()) return
    const attempt = this.#attempts.at(-1)
    if (attempt === undefined) this.#roots.push(trace)
    else attempt.ask(trace)
  }

  again(set: RuleSet): void {
    const value = this.#known.get(set)
    const name = `data.${set.path.join('.')}`
    this.#record({ name, ...(value === undefined ? {} : { value }), attempts: [], again: true })
  }

  attempt(branch: Branch): Attempt {
    const attempt = new OpenAttempt(branch, {
      seen: (watched, frame) => this.#seen(watched, frame),
      text: (value) => this.text(value),
      done: (trace) => {
        this.#attempts.pop()
        if (this.#count()) this.#open.at(-1)?.attempts.push(trace)
      },
    })
    this.#attempts.push(attempt)
    return attempt
  }

  mismatch({ loc }: { readonly loc: Location }): void {
    if (!this.#count()) return
    const trace: AttemptTrace = {
      ...placeOf(loc),
      outcome: 'arguments-differ',
      passed: 0,
      total: 0,
    }
    this.#open.at(-1)?.attempts.push(trace)
  }

  builtinError(message: string, loc: Location): void {
    if (!this.#count()) return
    const text = this.#redaction.redact(message)
    this.#builtinErrors.push({
      message: cut(typeof text === 'string' ? text : REDACTED),
      ...placeOf(loc),
    })
  }

  /** Evaluates what an expression looks at, without recording that as well. */
  #seen(watched: Watched, frame: Frame): SeenValue[] {
    this.#silent++
    try {
      return watched.probes.map(({ text, evaluate, path }) => {
        if (this.#redaction.hides(path)) return { term: text, value: REDACTED }
        const value = evaluate(frame)
        return { term: cut(text), ...(value === undefined ? {} : { value: this.text(value) }) }
      })
    } finally {
      this.#silent--
    }
  }
}

function cut(text: string): string {
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text
}

interface AttemptHost {
  seen(watched: Watched, frame: Frame): SeenValue[]
  text(value: Value): string
  done(trace: AttemptTrace): void
}

/** Keeps the furthest expression of one body, with the variables as they were when it was first reached. */
class OpenAttempt implements Attempt {
  readonly #branch: Branch
  readonly #host: AttemptHost
  #furthest: { watched: Watched; frame: Frame } | undefined
  #asked: RuleTrace[] = []
  #current = -1
  #counterexample: Value | undefined

  constructor(branch: Branch, host: AttemptHost) {
    this.#branch = branch
    this.#host = host
  }

  reach(watched: Watched, frame: Frame): void {
    this.#current = watched.index
    if (this.#furthest !== undefined && watched.index <= this.#furthest.watched.index) return
    // Later solutions overwrite the slots.
    this.#furthest = { watched, frame: { ...frame, slots: [...frame.slots], attempt: undefined } }
    this.#asked = []
    this.#counterexample = undefined
  }

  ask(trace: RuleTrace): void {
    if (this.#current === this.#furthest?.watched.index) this.#asked.push(trace)
  }

  counterexample(member: Value): void {
    if (this.#current === this.#furthest?.watched.index) this.#counterexample ??= member
  }

  finish(result: Value | undefined): void {
    const held = result !== undefined
    const total = this.#branch.body.length
    const passed = held ? total : (this.#furthest?.watched.index ?? 0)
    const failed = held && result !== false ? undefined : this.#failure()
    this.#host.done({
      ...placeOf(this.#branch.loc),
      outcome: held ? 'held' : 'failed',
      passed,
      total,
      ...(failed === undefined ? {} : { failed }),
    })
  }

  #failure(): AttemptTrace['failed'] {
    if (this.#furthest === undefined) return undefined
    const { watched, frame } = this.#furthest
    const seen = this.#host.seen(watched, frame)
    if (this.#counterexample !== undefined)
      seen.push({ term: 'not for', value: this.#host.text(this.#counterexample) })
    const { source, offset, end } = watched.loc
    return {
      text: cut(source.slice(offset, end)),
      ...placeOf(watched.loc),
      seen,
      asked: this.#asked,
    }
  }
}
