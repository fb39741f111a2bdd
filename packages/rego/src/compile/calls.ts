/** Calls of built-ins and functions. */
import { BuiltinError, type Builtin } from '../builtins/registry.ts'
import { RegoError, type Location } from '../error.ts'
import type { Context } from '../evaluate/context.ts'
import type { Documents } from '../evaluate/documents.ts'
import { shallowSize } from '../evaluate/run.ts'
import type { Value } from '../value.ts'
import type { Eval } from './closures.ts'
import { INFIX } from './infix.ts'
import type { Callee } from './ir.ts'

/** A compiled call. All arguments must have values. */
export function compileCall(
  callee: Callee,
  args: readonly Eval[],
  loc: Location,
  documents: Documents,
): Eval {
  const infix = callee.kind === 'builtin' ? INFIX[callee.name] : undefined
  const [left, right] = args
  if (infix !== undefined && left !== undefined && right !== undefined)
    return compileInfix(infix, left, right, loc)
  return (frame) => {
    const values: Value[] = []
    for (let at = 0; at < args.length; at++) {
      const value = (args[at] as Eval)(frame)
      if (value === undefined) return undefined
      values.push(value)
    }
    return invoke(frame.context, callee, values, loc, documents)
  }
}

/** `==`, `<`, `+` and the like: not to be replaced by `with`, so nothing is looked up. */
function compileInfix(
  operation: (left: Value, right: Value) => Value | undefined,
  left: Eval,
  right: Eval,
  loc: Location,
): Eval {
  return (frame) => {
    const a = left(frame)
    if (a === undefined) return undefined
    const b = right(frame)
    if (b === undefined) return undefined
    const { run } = frame.context
    run.step()
    try {
      const result = operation(a, b)
      if (typeof result === 'object' || typeof result === 'bigint') run.charge(shallowSize(result))
      return result
    } catch (error) {
      return refused(frame.context, error, loc)
    }
  }
}

/** Calls a function with values, or what stands in for it. */
export function invoke(
  context: Context,
  callee: Callee,
  args: readonly Value[],
  loc: Location,
  documents: Documents,
): Value | undefined {
  const mock = context.mocks?.get(callee.name)
  if (mock?.kind === 'value') return mock.value
  const target = mock?.callee ?? callee
  if (target.kind === 'rule') return documents.call(context, target.rules, args, loc)
  return callBuiltin(context, target.builtin, args, loc)
}

function callBuiltin(
  context: Context,
  builtin: Builtin,
  args: readonly Value[],
  loc: Location,
): Value | undefined {
  const { run } = context
  run.step()
  try {
    const result = builtin.call(args, run)
    if (result !== undefined && builtin.selects !== true) run.charge(shallowSize(result))
    return result
  } catch (error) {
    return refused(context, error, loc)
  }
}

/** What a built-in's refusal means: the end of the evaluation, or undefined. */
function refused(context: Context, error: unknown, loc: Location): undefined {
  if (error instanceof BuiltinError) {
    context.tracer?.builtinError(error.message, loc)
    if (context.run.strict) throw new RegoError('rego.builtin', error.message, loc)
    return undefined
  }
  // The runtime's own bounds on strings, arrays and integers.
  if (error instanceof RangeError && !/call stack/i.test(error.message))
    throw new RegoError('rego.limit.memory', 'a result is larger than the runtime can hold', loc)
  throw error
}
