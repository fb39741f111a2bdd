/** What comprehensions put their members into. */
import { RegoError, type Location } from '../error.ts'
import { equal, keyOf, ObjectBuilder, RegoSet, type Key, type Value } from '../value.ts'

export interface Gatherer {
  add(value: Value, key: Value | undefined, loc: Location): void
  value(): Value
}

export const GATHERERS: Readonly<Record<'array' | 'set' | 'object', () => Gatherer>> = {
  array: () => {
    const items: Value[] = []
    return { add: (value) => void items.push(value), value: () => items }
  },
  set: () => {
    const members = new Map<Key, Value>()
    return {
      add: (value) => void members.set(keyOf(value), value),
      value: () => new RegoSet(members),
    }
  },
  object: () => {
    const builder = new ObjectBuilder()
    const add = (value: Value, key: Value | undefined, loc: Location): void => {
      const earlier = builder.get(key as Value)
      if (earlier !== undefined && !equal(earlier, value))
        throw new RegoError(
          'rego.conflict',
          'object comprehension: object keys must be unique',
          loc,
        )
      builder.set(key as Value, value)
    }
    return { add, value: () => builder.build() }
  },
}
