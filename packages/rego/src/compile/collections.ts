/** Array and object literals: as patterns for values, and as values. */
import { isArray, ObjectBuilder, RegoObject, type Value } from '../value.ts'
import type { Eval, Match } from './closures.ts'

export function arrayPattern(items: readonly Match[]): Match {
  return (frame, value) => {
    if (!isArray(value) || value.length !== items.length) return false
    for (let at = 0; at < items.length; at++)
      if (!(items[at] as Match)(frame, value[at] as Value)) return false
    return true
  }
}

export function objectPattern(entries: readonly (readonly [Eval, Match])[]): Match {
  return (frame, value) => {
    if (!(value instanceof RegoObject) || value.size !== entries.length) return false
    for (const [key, match] of entries) {
      const name = key(frame)
      const member = name === undefined ? undefined : value.get(name)
      if (member === undefined || !match(frame, member)) return false
    }
    return true
  }
}

export function arrayOf(items: readonly Eval[]): Eval {
  return (frame) => {
    const values: Value[] = []
    for (let at = 0; at < items.length; at++) {
      const value = (items[at] as Eval)(frame)
      if (value === undefined) return undefined
      values.push(value)
    }
    frame.context.run.charge(16 + 8 * values.length)
    return values
  }
}

export function objectOf(entries: readonly (readonly [Eval, Eval])[]): Eval {
  return (frame) => {
    const builder = new ObjectBuilder()
    for (const [key, value] of entries) {
      const name = key(frame)
      const member = value(frame)
      if (name === undefined || member === undefined) return undefined
      builder.set(name, member)
    }
    frame.context.run.charge(32 + 32 * entries.length)
    return builder.build()
  }
}
