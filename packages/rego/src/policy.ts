/** The two steps of using a policy: compile modules once, evaluate queries often. */
import type { Body, Module, RegoVersion } from './ast.ts'
import { STANDARD_BUILTINS } from './builtins/standard.ts'
import { BuiltinError, type Builtin } from './builtins/registry.ts'
import { check, type FindingCode } from './check/check.ts'
import { BodyCompiler } from './compile/body-compiler.ts'
import type { Step } from './compile/closures.ts'
import type { Expr, Local } from './compile/ir.ts'
import { checkRecursion } from './compile/recursion.ts'
import { Resolver } from './compile/resolver.ts'
import { buildRuleTree, type RuleTree } from './compile/rule-tree.ts'
import { compileSet } from './compile/set-compiler.ts'
import type { CryptoProvider } from './crypto.ts'
import { RegoError } from './error.ts'
import { Context, emptySlots, type Frame } from './evaluate/context.ts'
import { Documents } from './evaluate/documents.ts'
import { DEFAULT_LIMITS, Run, type Limits } from './evaluate/run.ts'
import { fromJson, toJson } from './json.ts'
import { parseModule, parseQuery } from './parse/module-parser.ts'
import { captureValues, type QueryExpr } from './query.ts'
import { RegoObject, type Value } from './value.ts'
import { platformCrypto } from '#platform-crypto'
import type { Explanation, ExplainOptions } from './explain/explanation.ts'
import { Recorder } from './explain/recorder.ts'

/** A host function. It gets and gives plain JSON; throwing {@link BuiltinError} makes the call fail as a built-in's, anything else ends the evaluation. */
export interface HostFunction {
  readonly arity: number
  readonly call: (...args: unknown[]) => unknown
}

export interface CompileOptions {
  /** Texts, or modules already parsed. */
  readonly modules: readonly (Module | { readonly file: string; readonly source: string })[]
  /** Of modules given as text and of queries. Default `v1`. */
  readonly version?: RegoVersion
  /** Functions of the host by name; they go before those of the language. */
  readonly builtins?: Readonly<Record<string, HostFunction>>
  /** Bounds of each evaluation; those not named have their defaults. */
  readonly limits?: Partial<Limits>
  /** Refuse unused imports and variables, and deprecated built-ins, as OPA's strict mode. Default false. */
  readonly strict?: boolean
  /** Hashes and signatures. Default: Node's, where there is Node; otherwise those built-ins are undefined. */
  readonly crypto?: CryptoProvider
}

export interface EvaluateOptions {
  /** Plain JSON or a {@link Value}. Absent: `input` is undefined. */
  readonly input?: unknown
  /** An object. Absent: empty. */
  readonly data?: unknown
  /** What `time.now_ns` says. Default: now. */
  readonly now?: Date | bigint
  /** Monotonic milliseconds for the limit on time. Default: `performance.now`. */
  readonly clock?: () => number
  /** An error in a built-in ends the evaluation instead of making the call undefined. Default false, as in OPA. */
  readonly strictBuiltinErrors?: boolean
  /** Record why. Slower; the result is the same. */
  readonly explain?: boolean | ExplainOptions
}

/** One solution: as `opa eval` gives it, with Rego's own values. */
export interface Result {
  readonly expressions: readonly {
    readonly value: Value
    readonly text: string
    readonly location: { readonly row: number; readonly col: number }
  }[]
  readonly bindings: Readonly<Record<string, Value>>
}

export interface Evaluation {
  /** Empty when the query is undefined. */
  readonly result: readonly Result[]
  /** What `print` wrote: `file:row: text`. */
  readonly prints: readonly string[]
  /** Present when asked for. */
  readonly explanation?: Explanation
}

/**
 * Parses and compiles modules to a policy that can be evaluated any number of times.
 *
 * @throws RegoError with the place of the first mistake
 */
export function compile(options: CompileOptions): Policy {
  return new Policy(options)
}

/** How many compiled queries a policy keeps. */
const MAX_QUERIES = 64

export class Policy {
  readonly modules: readonly Module[]
  readonly #version: RegoVersion
  readonly #tree: RuleTree
  readonly #builtins: ReadonlyMap<string, Builtin>
  readonly #documents: Documents
  #traced: Documents | undefined
  readonly #limits: Limits
  readonly #crypto: CryptoProvider | undefined
  readonly #queries = new Map<string, CompiledQuery>()

  constructor(options: CompileOptions) {
    this.#version = options.version ?? 'v1'
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits }
    this.#crypto = options.crypto ?? platformCrypto
    this.modules = options.modules.map((module) =>
      'package' in module ? module : parseModule(module.file, module.source, this.#version),
    )
    this.#builtins = withHostFunctions(options.builtins ?? {})
    this.#tree = guardStack(() => buildRuleTree(this.modules))
    const resolver = new Resolver(this.#tree.root, this.#builtins, this.modules)
    if (options.strict === true) refuseSloppiness(this.modules)
    this.#documents = guardStack(() => {
      for (const set of this.#tree.sets) resolver.resolveSet(set)
      return this.#compileDocuments(false)
    })
    checkRecursion(this.#documents.uses)
  }

  #compileDocuments(traced: boolean): Documents {
    const { root, sets } = this.#tree
    const documents = new Documents(
      root,
      sets.reduce((size, { id }) => Math.max(size, id + 1), 0),
      { traced, compileSet },
    )
    documents.compile(sets)
    return documents
  }

  /** Paths of all documents that rules define, in source order: `data.` and names. */
  get documents(): readonly string[] {
    return this.#tree.sets.map(({ path }) => `data.${path.join('.')}`)
  }

  /**
   * Evaluates a query such as `data.policy.allow` or `x := input.y; x > 1`.
   *
   * @throws RegoError for a query that does not compile, a conflict, a limit, and in strict mode a built-in
   */
  evaluate(query: string, options: EvaluateOptions = {}): Evaluation {
    const traced = options.explain !== undefined && options.explain !== false
    const compiled = this.#query(query, traced)
    const documents = traced ? this.#tracedDocuments() : this.#documents
    const recorder = traced
      ? new Recorder(options.explain === true ? {} : options.explain)
      : undefined
    return guardStack(() => {
      const context = this.#context(options, documents, recorder)
      const result = compiled.run(context)
      return {
        result,
        prints: context.run.prints,
        ...(recorder === undefined ? {} : { explanation: recorder.finish(isNegative(result)) }),
      }
    })
  }

  /** The value of one document as plain JSON; undefined when it is undefined. For hosts that ask for a decision. */
  decide(path: string, options: EvaluateOptions = {}): unknown {
    const [first] = this.evaluate(path, options).result
    const value = first?.expressions[0]?.value
    return value === undefined ? undefined : toJson(value)
  }

  #context(
    options: EvaluateOptions,
    documents: Documents,
    recorder: Recorder | undefined,
  ): Context {
    const run = new Run({
      limits: this.#limits,
      clock: options.clock ?? (() => performance.now()),
      nowNs: nanoseconds(options.now ?? new Date()),
      crypto: this.#crypto,
      strictBuiltinErrors: options.strictBuiltinErrors ?? false,
    })
    const data = fromJson(options.data ?? RegoObject.empty)
    if (!(data instanceof RegoObject)) throw new RegoError('rego.input', '`data` must be an object')
    const input = options.input === undefined ? undefined : fromJson(options.input)
    recorder?.begin(input, data)
    return new Context({ run, input, data, documents: documents.size, tracer: recorder })
  }

  #tracedDocuments(): Documents {
    this.#traced ??= guardStack(() => this.#compileDocuments(true))
    return this.#traced
  }

  #query(text: string, traced: boolean): CompiledQuery {
    const id = `${traced ? 't' : 'f'}${text}`
    let query = this.#queries.get(id)
    if (query === undefined) {
      const documents = traced ? this.#tracedDocuments() : this.#documents
      const body = parseQuery(text, this.#version)
      query = guardStack(() => this.#compileQuery(body, documents))
      if (this.#queries.size >= MAX_QUERIES)
        this.#queries.delete(this.#queries.keys().next().value as string)
      this.#queries.set(id, query)
    }
    return query
  }

  #compileQuery(body: Body, documents: Documents): CompiledQuery {
    const {
      body: exprs,
      locals,
      slots,
    } = new Resolver(this.#tree.root, this.#builtins).resolveQuery(body)
    return compileQuery(captureValues(exprs, slots), locals, new BodyCompiler(documents, slots))
  }
}

/** Whether a result is a refusal: none, or one that is false. */
function isNegative(result: readonly Result[]): boolean {
  return result.every(({ expressions }) => expressions.some(({ value }) => value === false))
}

interface CompiledQuery {
  run(context: Context): Result[]
}

function compileQuery(
  captured: { exprs: Expr[]; values: readonly QueryExpr[] },
  locals: ReadonlyMap<string, Local>,
  compiler: BodyCompiler,
): CompiledQuery {
  const holder = compiler.slots.take('results')
  const collect: Step = (frame) => {
    frame.context.run.charge(64)
    const bindings: Record<string, Value> = Object.create(null) as Record<string, Value>
    for (const [name, { slot }] of locals) {
      const value = frame.slots[slot]
      if (value !== undefined) bindings[name] = value
    }
    const expressions = captured.values.map(({ local, loc }) => ({
      value: local === undefined ? true : (frame.slots[local.slot] as Value),
      text: loc.source.slice(loc.offset, loc.end),
      location: { row: loc.row, col: loc.column },
    }))
    ;(frame.slots[holder.slot] as unknown as Result[]).push({ expressions, bindings })
    return false
  }
  const step = compiler.compileBody(captured.exprs, new Set(), () => collect)
  return {
    run: (context) => {
      const found: Result[] = []
      const frame: Frame = {
        context,
        slots: emptySlots(compiler.slots.count),
        result: undefined,
        sink: undefined,
        isExhaustive: false,
        isDefault: false,
        attempt: undefined,
      }
      frame.slots[holder.slot] = found as unknown as Value
      step(frame)
      return found
    },
  }
}

function nanoseconds(now: Date | bigint): bigint {
  return typeof now === 'bigint' ? now : BigInt(now.getTime()) * 1_000_000n
}

function withHostFunctions(
  functions: Readonly<Record<string, HostFunction>>,
): ReadonlyMap<string, Builtin> {
  const all = new Map(STANDARD_BUILTINS)
  for (const [name, { arity, call }] of Object.entries(functions))
    all.set(name, {
      arity,
      call: (args) => callHost(name, call, args),
    })
  return all
}

/** A host function that throws ends the evaluation: no policy may read a failure as an answer. */
function callHost(
  name: string,
  call: HostFunction['call'],
  args: readonly Value[],
): Value | undefined {
  try {
    const result = call(...args.map(toJson))
    return result === undefined ? undefined : fromJson(result)
  } catch (error) {
    if (error instanceof RegoError || error instanceof BuiltinError) throw error
    throw new RegoError('rego.host', `the host function \`${name}\` failed`, undefined, error)
  }
}

const SLOPPY: ReadonlySet<FindingCode> = new Set([
  'unused-import',
  'unused-variable',
  'deprecated-builtin',
])

function refuseSloppiness(modules: readonly Module[]): void {
  const found = check(modules).find(({ code }) => SLOPPY.has(code))
  if (found !== undefined)
    throw new RegoError('rego.compile', `${found.code} \`${found.name}\``, found.loc)
}

/** The runtime's stack is a limit too: deep values and long chains end with a code, not a crash. */
function guardStack<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof RegoError) throw error
    if (error instanceof RangeError) throw new RegoError('rego.limit.depth', 'nested too deeply')
    if (error instanceof BuiltinError) throw new RegoError('rego.builtin', error.message)
    throw error
  }
}
