/** Numbers, comparison and aggregates. */
import * as numbers from '../number.ts'
import { compare, isArray, RegoObject, RegoSet, typeName, type Value } from '../value.ts'
import { INFIX } from '../compile/infix.ts'
import * as operand from './operands.ts'
import { BuiltinError, type Builtin, type BuiltinContext } from './registry.ts'

type Call = Builtin['call']

function count(args: readonly Value[]): number {
  const arg = operand.value(args, 0)
  if (typeof arg === 'string') return Array.from(arg).length
  if (isArray(arg)) return arg.length
  if (arg instanceof RegoSet || arg instanceof RegoObject) return arg.size
  throw new BuiltinError(`count: operand 1 must be a collection or string but got ${typeName(arg)}`)
}

function fold(
  args: readonly Value[],
  start: numbers.RegoNumber,
  combine: (left: numbers.RegoNumber, right: numbers.RegoNumber) => numbers.RegoNumber | undefined,
  context: BuiltinContext,
): Value {
  let total = start
  for (const item of operand.list(args, 0)) {
    context.step()
    if (typeof item !== 'number' && typeof item !== 'bigint')
      throw new BuiltinError(`operand 1 must be numbers but got ${typeName(item)}`)
    const next = combine(total, item)
    if (next === undefined) throw new BuiltinError('the result is not a finite number')
    if (typeof next === 'bigint') context.charge(next.toString(16).length / 2)
    total = next
  }
  return total
}

function extreme(sign: 1 | -1): Call {
  return (args) => {
    let best: Value | undefined
    for (const item of operand.list(args, 0))
      if (best === undefined || compare(item, best) * sign > 0) best = item
    return best
  }
}

function every(wanted: boolean): Call {
  return (args) => operand.list(args, 0).every((item) => item === true) === wanted
}

function rounding(round: (value: number) => number): Call {
  return (args) => {
    const value = operand.number(args, 0)
    return typeof value === 'bigint' ? value : numbers.fromFloat(round(value))
  }
}

/** Half away from zero, as Go rounds. */
function round(value: number): number {
  return value < 0 ? -Math.round(-value) : Math.round(value)
}

function abs(args: readonly Value[]): Value {
  const value = operand.number(args, 0)
  return value < 0 ? numbers.negate(value) : value
}

/** The most items a range may have; each is charged before it is made. */
function range(args: readonly Value[], stepSize: bigint, context: BuiltinContext): Value {
  const from = operand.integer(args, 0)
  const to = operand.integer(args, 1)
  if (stepSize <= 0n) throw new BuiltinError('step must be a positive number above zero')
  const down = to < from
  const items: Value[] = []
  for (let at = from; down ? at >= to : at <= to; at += down ? -stepSize : stepSize) {
    context.step()
    context.charge(8)
    items.push(numbers.fromBigInt(at))
  }
  return items
}

function bitwise(apply: (left: bigint, right: bigint) => bigint): Call {
  return (args) => numbers.fromBigInt(apply(operand.integer(args, 0), operand.integer(args, 1)))
}

/** Shifts allocate: the count is bounded before. */
const MAX_SHIFT = 1_000_000n

function shift(apply: (value: bigint, by: bigint) => bigint): Call {
  return bitwise((value, by) => {
    if (by < 0n) throw new BuiltinError('operand 2 must be an unsigned integer')
    if (by > MAX_SHIFT) throw new BuiltinError('operand 2 is too large')
    return apply(value, by)
  })
}

/** The same name and bound give the same number within one evaluation. */
function randIntn(args: readonly Value[], context: BuiltinContext): Value | undefined {
  const name = operand.string(args, 0)
  const given = operand.number(args, 1)
  if (!numbers.isInteger(given)) return undefined
  const bound = BigInt(given)
  const limit = bound < 0n ? -bound : bound
  if (limit === 0n) return 0
  const id = `rand.intn ${limit} ${name}`
  let chosen = context.memo.get(id)
  if (chosen === undefined) {
    let random = 0n
    for (const byte of context.random(16)) random = (random << 8n) | BigInt(byte)
    chosen = numbers.fromBigInt(random % limit)
    context.memo.set(id, chosen)
  }
  return chosen
}

function infix(name: string): Builtin {
  const operation = INFIX[name] as (left: Value, right: Value) => Value | undefined
  return { arity: 2, call: (args) => operation(args[0] as Value, args[1] as Value) }
}

export const AGGREGATES: Readonly<Record<string, Builtin>> = {
  ...Object.fromEntries(Object.keys(INFIX).map((name) => [name, infix(name)])),
  count: { arity: 1, call: count },
  sum: { arity: 1, call: (args, context) => fold(args, 0, numbers.add, context) },
  product: { arity: 1, call: (args, context) => fold(args, 1, numbers.multiply, context) },
  max: { arity: 1, call: extreme(1), selects: true },
  min: { arity: 1, call: extreme(-1), selects: true },
  sort: { arity: 1, call: (args) => [...operand.list(args, 0)].sort(compare) },
  all: { arity: 1, call: every(true), deprecated: true },
  any: {
    arity: 1,
    call: (args) => operand.list(args, 0).some((item) => item === true),
    deprecated: true,
  },
  abs: { arity: 1, call: abs },
  round: { arity: 1, call: rounding(round) },
  ceil: { arity: 1, call: rounding(Math.ceil) },
  floor: { arity: 1, call: rounding(Math.floor) },
  'numbers.range': { arity: 2, call: (args, context) => range(args, 1n, context) },
  'numbers.range_step': {
    arity: 3,
    call: (args, context) => range(args, operand.integer(args, 2), context),
  },
  'rand.intn': { arity: 2, call: randIntn },
  'bits.or': { arity: 2, call: bitwise((a, b) => a | b) },
  'bits.and': { arity: 2, call: bitwise((a, b) => a & b) },
  'bits.xor': { arity: 2, call: bitwise((a, b) => a ^ b) },
  'bits.negate': { arity: 1, call: (args) => numbers.fromBigInt(~operand.integer(args, 0)) },
  'bits.lsh': { arity: 2, call: shift((value, by) => value << by) },
  'bits.rsh': { arity: 2, call: shift((value, by) => value >> by) },
}
