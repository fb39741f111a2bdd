/** Arrays, sets and objects; membership; types and conversions. */
import { parseNumber } from '../number.ts'
import {
  equal,
  isArray,
  ObjectBuilder,
  RegoObject,
  RegoSet,
  typeName,
  type Value,
} from '../value.ts'
import * as operand from './operands.ts'
import { BuiltinError, type Builtin, type BuiltinContext } from './registry.ts'

function slice(args: readonly Value[]): Value {
  const items = operand.array(args, 0)
  const start = clamp(operand.integer(args, 1), items.length)
  const stop = clamp(operand.integer(args, 2), items.length)
  return items.slice(start, Math.max(start, stop))
}

function clamp(index: bigint, length: number): number {
  return Number(index < 0n ? 0n : index > BigInt(length) ? BigInt(length) : index)
}

function flatten(args: readonly Value[]): Value {
  return operand.array(args, 0).flatMap((item) => (isArray(item) ? [...item] : [item]))
}

function intersection(args: readonly Value[]): Value {
  const sets = setsOf(args)
  const [first, ...others] = sets
  if (first === undefined) return RegoSet.of([])
  return RegoSet.of(
    [...first.unsorted()].filter((member) => others.every((set) => set.has(member))),
  )
}

function setsOf(args: readonly Value[]): RegoSet[] {
  return operand
    .set(args, 0)
    .sorted()
    .map((member) => {
      if (member instanceof RegoSet) return member
      throw new BuiltinError(
        `operand 1 must be set of sets but got set containing ${typeName(member)}`,
      )
    })
}

function union(args: readonly Value[]): Value {
  return RegoSet.of(setsOf(args).flatMap((set) => [...set.unsorted()]))
}

function objectGet(args: readonly Value[]): Value {
  const object = operand.object(args, 0)
  const key = operand.value(args, 1)
  const fallback = operand.value(args, 2)
  if (!isArray(key)) {
    const found = object.get(key)
    return found === undefined ? fallback : found
  }
  let value: Value | undefined = object
  for (const part of key) {
    if (value instanceof RegoObject) value = value.get(part)
    else if (value instanceof RegoSet) value = value.has(part) ? part : undefined
    else if (isArray(value as Value) && typeof part === 'number')
      value = (value as readonly Value[])[part]
    else return fallback
  }
  return value === undefined ? fallback : value
}

function removeKeys(args: readonly Value[]): Value {
  const builder = operand.object(args, 0).toBuilder()
  for (const key of operand.membersOrKeys(args, 1)) builder.delete(key)
  return builder.build()
}

function filterKeys(args: readonly Value[]): Value {
  const object = operand.object(args, 0)
  const builder = new ObjectBuilder()
  for (const key of operand.membersOrKeys(args, 1)) {
    const value = object.get(key)
    if (value !== undefined) builder.set(key, value)
  }
  return builder.build()
}

/** Merges objects deeply; the right one wins. */
function merge(left: Value, right: Value, context: BuiltinContext): Value {
  if (!(left instanceof RegoObject) || !(right instanceof RegoObject)) return right
  const builder = left.toBuilder()
  for (const [key, value] of right.entries()) {
    context.step()
    const other = left.get(key)
    builder.set(key, other === undefined ? value : merge(other, value, context))
  }
  return builder.build()
}

function objectUnion(args: readonly Value[], context: BuiltinContext): Value {
  return merge(operand.object(args, 0), operand.object(args, 1), context)
}

function objectUnionN(args: readonly Value[], context: BuiltinContext): Value {
  let merged: Value = RegoObject.empty
  for (const item of operand.array(args, 0)) {
    if (!(item instanceof RegoObject)) throw new BuiltinError('operand 1 must be array of objects')
    merged = merge(merged, item, context)
    context.charge(32 * (merged as RegoObject).size)
  }
  return merged
}

function isSubset(args: readonly Value[], context: BuiltinContext): boolean | undefined {
  const [whole, part] = [operand.value(args, 0), operand.value(args, 1)]
  if (whole instanceof RegoObject && part instanceof RegoObject)
    return subObject(whole, part, context)
  if (whole instanceof RegoSet && part instanceof RegoSet)
    return [...part.unsorted()].every((member) => whole.has(member))
  if (isArray(whole) && isArray(part)) return hasRun(whole, part)
  if (isArray(whole) && part instanceof RegoSet) {
    const members = RegoSet.of(whole)
    return [...part.unsorted()].every((member) => members.has(member))
  }
  throw new BuiltinError('both arguments object.subset must be of the same type or array and set')
}

function subObject(whole: RegoObject, part: RegoObject, context: BuiltinContext): boolean {
  for (const [key, wanted] of part.entries()) {
    context.step()
    const value = whole.get(key)
    if (value === undefined) return false
    const comparable =
      typeName(value) === typeName(wanted) && typeof wanted === 'object' && wanted !== null
    const contained = comparable
      ? isSubset([value, wanted], context) === true
      : equal(value, wanted)
    if (!contained) return false
  }
  return true
}

/** Whether the items of `part` occur in `whole` one behind the other. */
function hasRun(whole: readonly Value[], part: readonly Value[]): boolean {
  for (let start = 0; start + part.length <= whole.length; start++)
    if (part.every((item, at) => equal(item, whole[start + at] as Value))) return true
  return false
}

function member(args: readonly Value[]): boolean {
  const [wanted, collection] = [operand.value(args, 0), operand.value(args, 1)]
  if (collection instanceof RegoSet) return collection.has(wanted)
  if (isArray(collection)) return collection.some((item) => equal(item, wanted))
  if (collection instanceof RegoObject)
    for (const value of collection.unsortedValues()) if (equal(value, wanted)) return true
  return false
}

function memberWithKey(args: readonly Value[]): boolean {
  const [key, wanted, collection] = [
    operand.value(args, 0),
    operand.value(args, 1),
    operand.value(args, 2),
  ]
  let value: Value | undefined
  if (collection instanceof RegoObject) value = collection.get(key)
  else if (isArray(collection)) value = typeof key === 'number' ? collection[key] : undefined
  else if (collection instanceof RegoSet) value = collection.has(key) ? key : undefined
  return value !== undefined && equal(value, wanted)
}

function toNumber(args: readonly Value[]): Value {
  const arg = operand.value(args, 0)
  if (arg === null) return 0
  if (typeof arg === 'boolean') return arg ? 1 : 0
  if (typeof arg === 'number' || typeof arg === 'bigint') return arg
  if (typeof arg !== 'string')
    throw new BuiltinError(
      `operand 1 must be one of {null, boolean, number, string} but got ${typeName(arg)}`,
    )
  // Go's parser also takes a sign and digits without a leading or trailing zero.
  const text = arg
    .replace(/^\+/, '')
    .replace(/^(-?)\./, '$10.')
    .replace(/^(-?)0+(?=[0-9])/, '$1')
  const number = parseNumber(text.replace(/\.(?=$|[eE])/, ''))
  if (number === undefined)
    throw new BuiltinError(`could not parse string as number: ${arg.slice(0, 40)}`)
  return number
}

function cast(name: string, convert: (arg: Value) => Value | undefined): Builtin {
  return {
    arity: 1,
    deprecated: true,
    selects: true,
    call: (args) => {
      const result = convert(operand.value(args, 0))
      if (result === undefined) throw new BuiltinError(`${name}: operand 1 has the wrong type`)
      return result
    },
  }
}

function castOnly(name: string, type: string): Builtin {
  return cast(name, (arg) => (typeName(arg) === type ? arg : undefined))
}

function typeTest(type: string): Builtin {
  return { arity: 1, call: (args) => typeName(operand.value(args, 0)) === type }
}

export const COLLECTIONS: Readonly<Record<string, Builtin>> = {
  'array.concat': {
    arity: 2,
    call: (args) => [...operand.array(args, 0), ...operand.array(args, 1)],
  },
  'array.slice': { arity: 3, call: slice },
  'array.reverse': { arity: 1, call: (args) => [...operand.array(args, 0)].reverse() },
  'array.flatten': { arity: 1, call: flatten },
  intersection: { arity: 1, call: intersection },
  union: { arity: 1, call: union },
  set_diff: {
    arity: 2,
    deprecated: true,
    call: (args) => {
      const right = operand.set(args, 1)
      return RegoSet.of([...operand.set(args, 0).unsorted()].filter((item) => !right.has(item)))
    },
  },
  'object.get': { arity: 3, call: objectGet, selects: true },
  'object.keys': { arity: 1, call: (args) => RegoSet.of(operand.object(args, 0).keys()) },
  'object.remove': { arity: 2, call: removeKeys },
  'object.filter': { arity: 2, call: filterKeys },
  'object.union': { arity: 2, call: objectUnion },
  'object.union_n': { arity: 1, call: objectUnionN },
  'object.subset': { arity: 2, call: isSubset },
  'internal.member_2': { arity: 2, call: member },
  'internal.member_3': { arity: 3, call: memberWithKey },
  to_number: { arity: 1, call: toNumber },
  cast_array: cast('cast_array', (arg) =>
    isArray(arg) ? arg : arg instanceof RegoSet ? arg.sorted() : undefined,
  ),
  cast_set: cast('cast_set', (arg) =>
    arg instanceof RegoSet ? arg : isArray(arg) ? RegoSet.of(arg) : undefined,
  ),
  cast_string: castOnly('cast_string', 'string'),
  cast_boolean: castOnly('cast_boolean', 'boolean'),
  cast_null: castOnly('cast_null', 'null'),
  cast_object: castOnly('cast_object', 'object'),
  is_number: typeTest('number'),
  is_string: typeTest('string'),
  is_boolean: typeTest('boolean'),
  is_array: typeTest('array'),
  is_set: typeTest('set'),
  is_object: typeTest('object'),
  is_null: typeTest('null'),
  type_name: { arity: 1, call: (args) => typeName(operand.value(args, 0)) },
}
