/** How `print` writes values: strings bare at the top, quoted inside; an empty set like an empty object. */
import { isArray, RegoObject, RegoSet, stringify, type Value } from '../value.ts'

export function printText(value: Value): string {
  return typeof value === 'string' ? value : nested(value)
}

function nested(value: Value): string {
  if (value instanceof RegoSet) return `{${value.sorted().map(nested).join(', ')}}`
  if (value instanceof RegoObject)
    return `{${Array.from(value.entries(), ([key, member]) => `${nested(key)}: ${nested(member)}`).join(', ')}}`
  if (typeof value === 'object' && value !== null && isArray(value))
    return `[${value.map(nested).join(', ')}]`
  return stringify(value)
}
