/** Reads the arguments of built-ins with the type they must have. */
import type { RegoNumber } from '../number.ts'
import { isArray, RegoObject, RegoSet, typeName, type Value } from '../value.ts'
import { BuiltinError } from './registry.ts'

function refuse(args: readonly Value[], at: number, wanted: string): never {
  throw new BuiltinError(
    `operand ${at + 1} must be ${wanted} but got ${typeName(args[at] as Value)}`,
  )
}

export function value(args: readonly Value[], at: number): Value {
  return args[at] as Value
}

export function string(args: readonly Value[], at: number): string {
  const arg = args[at]
  return typeof arg === 'string' ? arg : refuse(args, at, 'string')
}

export function number(args: readonly Value[], at: number): RegoNumber {
  const arg = args[at]
  return typeof arg === 'number' || typeof arg === 'bigint' ? arg : refuse(args, at, 'number')
}

export function integer(args: readonly Value[], at: number): bigint {
  const arg = number(args, at)
  if (typeof arg === 'bigint') return arg
  return Number.isInteger(arg) ? BigInt(arg) : refuse(args, at, 'integer number')
}

/** An integer that fits a JavaScript number. */
export function safeInteger(args: readonly Value[], at: number): number {
  const arg = args[at]
  return typeof arg === 'number' && Number.isInteger(arg) ? arg : refuse(args, at, 'integer number')
}

export function boolean(args: readonly Value[], at: number): boolean {
  const arg = args[at]
  return typeof arg === 'boolean' ? arg : refuse(args, at, 'boolean')
}

export function array(args: readonly Value[], at: number): readonly Value[] {
  const arg = args[at] as Value
  return isArray(arg) ? arg : refuse(args, at, 'array')
}

export function set(args: readonly Value[], at: number): RegoSet {
  const arg = args[at]
  return arg instanceof RegoSet ? arg : refuse(args, at, 'set')
}

export function object(args: readonly Value[], at: number): RegoObject {
  const arg = args[at]
  return arg instanceof RegoObject ? arg : refuse(args, at, 'object')
}

/** The members of an array or a set, in order. */
export function list(args: readonly Value[], at: number): readonly Value[] {
  const arg = args[at] as Value
  if (isArray(arg)) return arg
  return arg instanceof RegoSet ? arg.sorted() : refuse(args, at, 'array or set')
}

export function strings(args: readonly Value[], at: number): readonly string[] {
  return list(args, at).map((item) =>
    typeof item === 'string' ? item : refuse(args, at, 'array or set of strings'),
  )
}

/** A string, or an array or set of strings. */
export function stringOrStrings(args: readonly Value[], at: number): readonly string[] {
  const arg = args[at]
  return typeof arg === 'string' ? [arg] : strings(args, at)
}

/** The members of an array or set, or the keys of an object. */
export function membersOrKeys(args: readonly Value[], at: number): readonly Value[] {
  const arg = args[at] as Value
  return arg instanceof RegoObject ? arg.keys() : list(args, at)
}
