/**
 * The exact bytes of a member's value in a JSON object: what Intel signs is the text as served, so a parsed and rewritten object would
 * not do. One pass, no recursion.
 */
import { isTextAt } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const COLON = 0x3a
const COMMA = 0x2c

/**
 * The value of a member of the outermost object, as a view.
 *
 * @param member - spelt without escapes, in ASCII
 * @param json - need not be valid; the caller parses what it takes from here
 * @throws FormatError when there is no such member, or two of them
 */
export function jsonMemberSpan(json: Uint8Array, member: string): Uint8Array {
  let found: Uint8Array | undefined
  let depth = 0
  let valueStart = -1
  let isWanted = false
  const close = (end: number) => {
    if (valueStart < 0 || !isWanted) return
    if (found !== undefined) throw new FormatError('JSON', member, valueStart, 'stands twice')
    found = trim(json.subarray(valueStart, end))
  }
  for (let at = 0; at < json.length; at++) {
    const byte = json[at] as number
    if (byte === QUOTE) {
      const end = stringEnd(json, at)
      if (depth === 1 && valueStart < 0) isWanted = isTextAt(json, at + 1, end, member)
      at = end
    } else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) depth++
    else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) {
      depth--
      if (depth === 0) close(at)
    } else if (depth === 1 && byte === COLON && valueStart < 0) valueStart = at + 1
    else if (depth === 1 && byte === COMMA) {
      close(at)
      valueStart = -1
    }
  }
  if (found === undefined) throw new FormatError('JSON', member, 0, 'is missing')
  return found
}

function stringEnd(json: Uint8Array, start: number): number {
  let at = start + 1
  while (at < json.length && json[at] !== QUOTE) at += json[at] === BACKSLASH ? 2 : 1
  return at
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d
}

function trim(span: Uint8Array): Uint8Array {
  let start = 0
  let end = span.length
  while (start < end && isSpace(span[start] as number)) start++
  while (end > start && isSpace(span[end - 1] as number)) end--
  return span.subarray(start, end)
}
