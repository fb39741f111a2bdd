/**
 * JSON Canonicalization Scheme (RFC 8785): the one text that stands for a JSON value, so that two sides hash the same
 * bytes. Members are sorted by UTF-16 code units; numbers and strings are written as ECMAScript does (RFC 8785, 3.2.2).
 */

/** A value that JSON can hold. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [member: string]: JsonValue }

/** Far above any message of ours, far below the stack. */
const DEPTH = 64

/**
 * Writes the canonical text of a JSON value.
 *
 * @param value - plain JSON; members that are `undefined` are not allowed
 * @returns the text; hash its UTF-8 bytes
 * @throws TypeError for what I-JSON cannot hold: NaN, infinities, lone surrogates, other types, more than 64 levels
 */
export function canonicalJson(value: JsonValue): string {
  return canonical(value, 0)
}

function canonical(value: JsonValue, depth: number): string {
  if (depth > DEPTH) throw new TypeError('Cannot canonicalize JSON: it is nested too deeply')
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return canonicalString(value)
  if (typeof value === 'number') {
    if (!Number.isFinite(value))
      throw new TypeError('Cannot canonicalize JSON: a number is not finite')
    return JSON.stringify(value)
  }
  if (Array.isArray(value))
    return `[${value.map((item: JsonValue) => canonical(item, depth + 1)).join(',')}]`
  if (typeof value !== 'object')
    throw new TypeError(`Cannot canonicalize JSON: it holds a ${typeof value}`)
  const object = value as { readonly [member: string]: JsonValue }
  const members = Object.keys(object)
    .sort()
    .map((name) => `${canonicalString(name)}:${canonical(object[name] as JsonValue, depth + 1)}`)
  return `{${members.join(',')}}`
}

function canonicalString(text: string): string {
  if (!text.isWellFormed())
    throw new TypeError('Cannot canonicalize JSON: a string holds a lone surrogate')
  return JSON.stringify(text)
}
