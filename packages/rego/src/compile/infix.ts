/** Comparison and arithmetic, compiled in line: most of what policies do. */
import { BuiltinError } from '../builtins/registry.ts'
import * as numbers from '../number.ts'
import { compare, equal, RegoSet, typeName, type Value } from '../value.ts'

type Operation = (left: Value, right: Value) => Value | undefined

function isNumber(value: Value): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint'
}

function numeric(name: string, left: Value, right: Value): BuiltinError {
  const wrong = isNumber(left) ? right : left
  return new BuiltinError(`${name}: operand must be a number, got ${typeName(wrong)}`)
}

function arithmetic(
  name: string,
  apply: (left: numbers.RegoNumber, right: numbers.RegoNumber) => Value | undefined,
): Operation {
  return (left, right) => {
    if (!isNumber(left) || !isNumber(right)) throw numeric(name, left, right)
    return finite(name, apply(left, right))
  }
}

function finite(name: string, value: Value | undefined): Value {
  if (value === undefined) throw new BuiltinError(`${name}: the result is not a finite number`)
  return value
}

function minus(left: Value, right: Value): Value {
  if (left instanceof RegoSet && right instanceof RegoSet)
    return RegoSet.of([...left.unsorted()].filter((member) => !right.has(member)))
  if (!isNumber(left) || !isNumber(right)) throw numeric('minus', left, right)
  return finite('minus', numbers.subtract(left, right))
}

function divide(left: Value, right: Value): Value {
  if (!isNumber(left) || !isNumber(right)) throw numeric('div', left, right)
  if (right === 0) throw new BuiltinError('div: divide by zero')
  return finite('div', numbers.divide(left, right))
}

function remainder(left: Value, right: Value): Value {
  if (!isNumber(left) || !isNumber(right)) throw numeric('rem', left, right)
  if (!numbers.isInteger(left) || !numbers.isInteger(right))
    throw new BuiltinError('rem: modulo on floating-point number')
  if (right === 0) throw new BuiltinError('rem: modulo by zero')
  return numbers.remainder(left, right)
}

function sets(name: string, left: Value, right: Value): [RegoSet, RegoSet] {
  if (left instanceof RegoSet && right instanceof RegoSet) return [left, right]
  throw new BuiltinError(`${name}: operands must be sets`)
}

export const INFIX: Readonly<Record<string, Operation>> = {
  equal: (left, right) => equal(left, right),
  neq: (left, right) => !equal(left, right),
  lt: (left, right) => compare(left, right) < 0,
  lte: (left, right) => compare(left, right) <= 0,
  gt: (left, right) => compare(left, right) > 0,
  gte: (left, right) => compare(left, right) >= 0,
  plus: arithmetic('plus', numbers.add),
  mul: arithmetic('mul', numbers.multiply),
  minus,
  div: divide,
  rem: remainder,
  and: (left, right) => {
    const [a, b] = sets('and', left, right)
    return RegoSet.of([...a.unsorted()].filter((member) => b.has(member)))
  },
  or: (left, right) => {
    const [a, b] = sets('or', left, right)
    return RegoSet.of([...a.unsorted(), ...b.unsorted()])
  },
}
