/** JSON that no two readers can understand differently: a name that stands twice in one object is refused. One pass, no recursion. */
import { FormatError } from '../bytes/format-error.ts'
import { fromUtf8 } from '../bytes/text.ts'
import { parseJson } from './json-text.ts'

const MAX_DEPTH = 32

/** @throws FormatError when it is not JSON in UTF-8, nests too deeply, or repeats a name */
export function parseUniqueJson(format: string, bytes: Uint8Array): unknown {
  const text = fromUtf8(format, 'text', bytes)
  const value = parseJson(format, text)
  refuseRepeatedNames(format, text)
  return value
}

/** @param text - known to be JSON, so that only strings and brackets matter */
function refuseRepeatedNames(format: string, text: string): void {
  // Names so far of each open object; undefined for an array.
  const open: (Set<string> | undefined)[] = []
  for (let at = 0; at < text.length; at++) {
    const character = text[at]
    if (character === '{' || character === '[') {
      if (open.length === MAX_DEPTH) throw new FormatError(format, 'text', at, 'nests too deeply')
      open.push(character === '{' ? new Set() : undefined)
    } else if (character === '}' || character === ']') open.pop()
    else if (character === '"') {
      const end = stringEnd(text, at)
      const names = open.at(-1)
      const after = spaceEnd(text, end + 1)
      if (names !== undefined && text[after] === ':') {
        const name = JSON.parse(text.slice(at, end + 1)) as string
        if (names.has(name)) throw new FormatError(format, name.slice(0, 64), at, 'stands twice')
        names.add(name)
      }
      at = end
    }
  }
}

function stringEnd(text: string, start: number): number {
  let at = start + 1
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at
}

function spaceEnd(text: string, start: number): number {
  let at = start
  while (text[at] === ' ' || text[at] === '\t' || text[at] === '\n' || text[at] === '\r') at++
  return at
}
