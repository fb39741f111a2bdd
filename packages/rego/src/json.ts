/** JSON and Rego's values: plain JavaScript in and out, and JSON text with every digit kept. */
import { RegoError } from './error.ts'
import { formatNumber, fromBigInt, fromFloat, parseNumber } from './number.ts'
import { isArray, ObjectBuilder, RegoObject, RegoSet, type Value } from './value.ts'

/** How deep a document may nest. Comparing and printing recurse, so this keeps them off the end of the stack. */
export const MAX_DEPTH = 500

/** Plain data as it comes from `JSON.parse`; a `Map` or a `RegoObject` for keys that are no strings. */
export type Json = unknown

function tooDeep(): never {
  throw new RegoError('rego.limit.depth', `a value nests deeper than ${MAX_DEPTH}`)
}

/**
 * Turns plain data into a value. Rego values inside are taken as they are.
 *
 * @throws RegoError `rego.input` for what JSON cannot hold, `rego.limit.depth`
 */
export function fromJson(json: Json, depth = 0): Value {
  switch (typeof json) {
    case 'string':
    case 'boolean':
      return json
    case 'number':
      return fromFloat(json) ?? invalid('a number that is not finite')
    case 'bigint':
      return fromBigInt(json)
    case 'object':
      return json === null ? null : fromJsonObject(json, depth)
    default:
      return invalid(`a ${typeof json}`)
  }
}

function invalid(what: string): never {
  throw new RegoError('rego.input', `${what} is not JSON`)
}

function fromJsonObject(json: object, depth: number): Value {
  if (json instanceof RegoObject || json instanceof RegoSet) return json
  if (depth >= MAX_DEPTH) tooDeep()
  if (Array.isArray(json)) {
    return json.map((item) => fromJson(item, depth + 1))
  }
  if (json instanceof Set) return RegoSet.of([...json].map((item) => fromJson(item, depth + 1)))
  const builder = new ObjectBuilder()
  if (json instanceof Map)
    for (const [key, value] of json)
      builder.set(fromJson(key, depth + 1), fromJson(value, depth + 1))
  else
    for (const key of Object.keys(json)) {
      const value = (json as Record<string, unknown>)[key]
      if (value !== undefined) builder.set(key, fromJson(value, depth + 1))
    }
  return builder.build()
}

/** A value as plain data: sets as arrays, keys that are no strings as their text, large integers as `bigint`. */
export function toJson(value: Value): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (isArray(value)) return value.map(toJson)
  if (value instanceof RegoSet) return value.sorted().map(toJson)
  const entries: [string, unknown][] = []
  for (const [key, member] of value.entries()) entries.push([jsonKey(key), toJson(member)])
  return Object.fromEntries(entries)
}

function jsonKey(key: Value): string {
  return typeof key === 'string' ? key : encodeJson(key)
}

/** How JSON text is laid out. */
export interface JsonLayout {
  readonly prefix?: string
  readonly indent?: string
  readonly pretty?: boolean
  /** Escape `<`, `>` and `&`, as Go does. */
  readonly html?: boolean
}

/** JSON text of a value: keys sorted, every digit of a number. */
export function encodeJson(value: Value, layout: JsonLayout = {}): string {
  return encode(value, layout, layout.prefix ?? '')
}

function encode(value: Value, layout: JsonLayout, margin: string): string {
  if (typeof value === 'string') return encodeString(value, layout.html === true)
  if (typeof value === 'number' || typeof value === 'bigint') return formatNumber(value)
  if (value === null || typeof value === 'boolean') return String(value)
  const inner = margin + (layout.indent ?? '\t')
  if (value instanceof RegoObject) {
    const colon = layout.pretty === true ? ': ' : ':'
    const entries = value.keys().map((key) => {
      const name = encodeString(jsonKey(key), layout.html === true)
      return `${name}${colon}${encode(value.get(key) as Value, layout, inner)}`
    })
    return wrap('{', entries, '}', layout, margin, inner)
  }
  const items = isArray(value) ? value : value.sorted()
  const texts = items.map((item) => encode(item, layout, inner))
  return wrap('[', texts, ']', layout, margin, inner)
}

function wrap(
  open: string,
  parts: readonly string[],
  close: string,
  layout: JsonLayout,
  margin: string,
  inner: string,
): string {
  if (parts.length === 0 || layout.pretty !== true) return open + parts.join(',') + close
  return `${open}\n${inner}${parts.join(`,\n${inner}`)}\n${margin}${close}`
}

function encodeString(text: string, html: boolean): string {
  const json = JSON.stringify(text)
  if (!html || !/[<>&\u2028\u2029]/.test(json)) return json
  return json.replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/**
 * Parses JSON text, keeping every digit of its integers; the last of equal keys wins.
 * Undefined when the text is not JSON.
 *
 * @throws RegoError `rego.limit.depth`
 */
export function parseJson(text: string): Value | undefined {
  try {
    const parsed: unknown = JSON.parse(text, keepDigits)
    return fromJson(parsed)
  } catch (error) {
    if (error instanceof RegoError) throw error
    // Attacker-controlled: the runtime's reviver recurses too.
    if (error instanceof RangeError) tooDeep()
    return undefined
  }
}

function keepDigits(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value
  const exact = parseNumber(context?.source ?? String(value))
  if (exact === undefined) throw new SyntaxError('number out of range')
  return exact
}
