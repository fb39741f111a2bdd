/** Strings. Positions and lengths count code points, as OPA's do. */
import { RegoObject, type Value } from '../value.ts'
import * as operand from './operands.ts'
import { BuiltinError, type Builtin, type BuiltinContext } from './registry.ts'
import { sprintf } from './sprintf.ts'

const HAS_SURROGATES = /[\ud800-\udfff]/

/** The code points of a string as one-character strings. */
function points(text: string): string[] {
  return HAS_SURROGATES.test(text) ? Array.from(text) : text.split('')
}

/** The code-point position of a UTF-16 offset. */
function pointIndex(text: string, offset: number): number {
  return HAS_SURROGATES.test(text) ? text.slice(0, offset).length : offset
}

function concat(args: readonly Value[], context: BuiltinContext): Value {
  const separator = operand.string(args, 0)
  const parts = operand.strings(args, 1)
  context.charge(separator.length * 2 * parts.length)
  return parts.join(separator)
}

function indexOf(args: readonly Value[]): Value {
  const [text, needle] = [operand.string(args, 0), operand.string(args, 1)]
  if (needle === '' && text !== '') throw new BuiltinError('empty search character')
  if (text === '') return -1
  const offset = text.indexOf(needle)
  return offset === -1 ? -1 : pointIndex(text, offset)
}

function indexOfAll(args: readonly Value[], context: BuiltinContext): Value {
  const [text, needle] = [operand.string(args, 0), operand.string(args, 1)]
  if (needle === '') throw new BuiltinError('empty search character')
  const found: Value[] = []
  let position = 0
  let from = 0
  for (let at = text.indexOf(needle); at !== -1; at = text.indexOf(needle, at + 1)) {
    context.step()
    position += points(text.slice(from, at)).length
    from = at
    found.push(position)
  }
  return found
}

function replaceAll(text: string, from: string, to: string, context: BuiltinContext): string {
  if (from !== '') {
    context.charge(Math.floor(text.length / from.length) * to.length)
    return text.split(from).join(to)
  }
  const parts = points(text)
  context.charge((parts.length + 1) * to.length * 2)
  return to + parts.map((part) => part + to).join('')
}

/** All replacements in one pass, the first pattern in the order of the keys that fits wins. */
function replaceN(args: readonly Value[], context: BuiltinContext): Value {
  const patterns: (readonly [string, string])[] = []
  for (const [from, to] of operand.object(args, 0).entries()) {
    if (typeof from !== 'string' || typeof to !== 'string')
      throw new BuiltinError('operand 1 must be object of strings')
    patterns.push([from, to])
  }
  const text = operand.string(args, 1)
  let result = ''
  for (let at = 0; at <= text.length;) {
    context.step(patterns.length)
    const fit = patterns.find(([from]) => from !== '' && text.startsWith(from, at))
    if (fit === undefined) result += text.charAt(at++)
    else {
      result += fit[1]
      context.charge(fit[1].length * 2)
      at += fit[0].length
    }
  }
  return result
}

function split(args: readonly Value[], context: BuiltinContext): Value {
  const [text, separator] = [operand.string(args, 0), operand.string(args, 1)]
  const parts = separator === '' ? points(text) : text.split(separator)
  context.charge(parts.length * 24)
  return parts
}

function substring(args: readonly Value[]): Value {
  const text = points(operand.string(args, 0))
  const offset = operand.integer(args, 1)
  const length = operand.integer(args, 2)
  if (offset < 0n) throw new BuiltinError('negative offset')
  const start = Number(offset)
  const end = length < 0n ? text.length : start + Number(length)
  return text.slice(start, end).join('')
}

function trimLeft(text: string, cutset: string): string {
  const cut = new Set(cutset)
  const chars = points(text)
  let start = 0
  while (start < chars.length && cut.has(chars[start] as string)) start++
  return chars.slice(start).join('')
}

function trimRight(text: string, cutset: string): string {
  const cut = new Set(cutset)
  const chars = points(text)
  let end = chars.length
  while (end > 0 && cut.has(chars[end - 1] as string)) end--
  return chars.slice(0, end).join('')
}

/** Go's idea of white space. */
const SPACE =
  '\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000'

function onText(change: (text: string, other: string) => Value): Builtin {
  return { arity: 2, call: (args) => change(operand.string(args, 0), operand.string(args, 1)) }
}

function formatInt(args: readonly Value[]): Value {
  const value = operand.number(args, 0)
  const base = operand.number(args, 1)
  if (base !== 2 && base !== 8 && base !== 10 && base !== 16)
    throw new BuiltinError('operand 2 must be one of {2, 8, 10, 16}')
  const whole = typeof value === 'bigint' ? value : BigInt(Math.trunc(value))
  return whole.toString(base)
}

function anyMatch(test: (text: string, affix: string) => boolean): Builtin {
  return {
    arity: 2,
    call: (args, context) => {
      const texts = operand.stringOrStrings(args, 0)
      const affixes = operand.stringOrStrings(args, 1)
      context.step(texts.length * affixes.length)
      return texts.some((text) => affixes.some((affix) => test(text, affix)))
    },
  }
}

function countIn(args: readonly Value[]): Value {
  const [text, needle] = [operand.string(args, 0), operand.string(args, 1)]
  if (needle === '') return points(text).length + 1
  return text.split(needle).length - 1
}

function renderTemplate(args: readonly Value[]): Value {
  const template = operand.string(args, 0)
  const variables = operand.object(args, 1)
  return template.replace(/\{\{\s*(\.[^{}]*?)?\s*\}\}/g, (_, path: string | undefined) => {
    let value: Value | undefined = variables
    for (const name of (path ?? '').split('.').slice(1))
      if (name !== '') value = value instanceof RegoObject ? value.get(name) : undefined
    if (value === undefined)
      throw new BuiltinError('the template names a variable that is not given')
    return sprintf('%v', [value])
  })
}

export const STRINGS: Readonly<Record<string, Builtin>> = {
  concat: { arity: 2, call: concat },
  contains: onText((text, needle) => text.includes(needle)),
  startswith: onText((text, prefix) => text.startsWith(prefix)),
  endswith: onText((text, suffix) => text.endsWith(suffix)),
  'strings.any_prefix_match': anyMatch((text, prefix) => text.startsWith(prefix)),
  'strings.any_suffix_match': anyMatch((text, suffix) => text.endsWith(suffix)),
  'strings.count': { arity: 2, call: countIn },
  'strings.reverse': {
    arity: 1,
    call: (args) => points(operand.string(args, 0)).reverse().join(''),
  },
  'strings.replace_n': { arity: 2, call: replaceN },
  'strings.render_template': { arity: 2, call: renderTemplate },
  format_int: { arity: 2, call: formatInt },
  indexof: { arity: 2, call: indexOf },
  indexof_n: { arity: 2, call: indexOfAll },
  lower: {
    arity: 1,
    call: (args) => operand.string(args, 0).toLowerCase(),
  },
  upper: {
    arity: 1,
    call: (args) => operand.string(args, 0).toUpperCase(),
  },
  replace: {
    arity: 3,
    call: (args, context) =>
      replaceAll(
        operand.string(args, 0),
        operand.string(args, 1),
        operand.string(args, 2),
        context,
      ),
  },
  split: { arity: 2, call: split },
  substring: { arity: 3, call: substring },
  sprintf: {
    arity: 2,
    call: (args, context) => {
      const text = sprintf(operand.string(args, 0), operand.array(args, 1))
      context.step(text.length >> 6)
      return text
    },
  },
  trim: onText((text, cutset) => trimRight(trimLeft(text, cutset), cutset)),
  trim_left: onText(trimLeft),
  trim_right: onText(trimRight),
  trim_prefix: onText((text, prefix) =>
    prefix !== '' && text.startsWith(prefix) ? text.slice(prefix.length) : text,
  ),
  trim_suffix: onText((text, suffix) =>
    suffix !== '' && text.endsWith(suffix) ? text.slice(0, -suffix.length) : text,
  ),
  trim_space: {
    arity: 1,
    call: (args) => trimRight(trimLeft(operand.string(args, 0), SPACE), SPACE),
  },
}
