/** `regex.*` and `glob.*`. */
import { isArray, type Value } from '../value.ts'
import { globToRegex, quoteGlob } from '../regex/glob.ts'
import { globsIntersect } from '../regex/globs-match.ts'
import { regexOf } from '../regex/regex.ts'
import * as operand from './operands.ts'
import { BuiltinError, type Builtin, type BuiltinContext } from './registry.ts'

function counter(context: BuiltinContext): (steps: number) => void {
  return (threads) => context.step(threads)
}

function match(args: readonly Value[], context: BuiltinContext): boolean {
  return regexOf(operand.string(args, 0)).matches(operand.string(args, 1), counter(context))
}

function isValid(args: readonly Value[]): boolean {
  const pattern = args[0]
  if (typeof pattern !== 'string') return false
  try {
    regexOf(pattern)
    return true
  } catch (error) {
    if (error instanceof BuiltinError) return false
    throw error
  }
}

function limitOf(args: readonly Value[], at: number): number {
  const limit = operand.safeInteger(args, at)
  return limit < 0 ? Infinity : limit
}

function findN(args: readonly Value[], context: BuiltinContext): Value {
  const regex = regexOf(operand.string(args, 0))
  const text = operand.string(args, 1)
  return regex
    .findAll(text, limitOf(args, 2), counter(context))
    .map((found) => regex.group(text, found, 0))
}

function findSubmatches(args: readonly Value[], context: BuiltinContext): Value {
  const regex = regexOf(operand.string(args, 0))
  const text = operand.string(args, 1)
  return regex.findAll(text, limitOf(args, 2), counter(context)).map((found) => {
    const groups = regex.groups(text, found)
    context.charge(32 + groups.length * 24)
    return groups
  })
}

function replace(args: readonly Value[], context: BuiltinContext): Value {
  const regex = regexOf(operand.string(args, 1))
  return regex.replaceAll(operand.string(args, 0), operand.string(args, 2), counter(context))
}

/** `regex.template_match`: expressions stand between delimiters, the rest is literal. */
function templateMatch(args: readonly Value[], context: BuiltinContext): boolean {
  const template = operand.string(args, 0)
  const [open, close] = [operand.string(args, 2), operand.string(args, 3)]
  if (Array.from(open).length !== 1 || Array.from(close).length !== 1)
    throw new BuiltinError('start and end delimiters must be exactly one character long')
  let pattern = '^'
  let rest = template
  while (rest !== '') {
    const start = rest.indexOf(open)
    const end = start === -1 ? -1 : closing(rest, start, open, close)
    if (start === -1) {
      pattern += quote(rest)
      break
    }
    if (end === -1) throw new BuiltinError('unbalanced delimiters in the template')
    pattern += `${quote(rest.slice(0, start))}(${rest.slice(start + open.length, end)})`
    rest = rest.slice(end + close.length)
  }
  return regexOf(`${pattern}$`).matches(operand.string(args, 1), counter(context))
}

function closing(text: string, start: number, open: string, close: string): number {
  let depth = 0
  for (let at = start; at < text.length; at++) {
    if (text.startsWith(close, at) && --depth === 0) return at
    if (text.startsWith(open, at)) depth++
  }
  return -1
}

function quote(text: string): string {
  return text.replace(/[\\.+*?()|[\]{}^$]/g, '\\$&')
}

function globMatch(args: readonly Value[], context: BuiltinContext): boolean {
  const pattern = operand.string(args, 0)
  const delimiters = args[1] as Value
  const texts = delimiters === null ? undefined : operand.array(args, 1)
  if (texts !== undefined && !isArray(texts))
    throw new BuiltinError('operand 2 must be array or null')
  const chosen = texts?.map((text) => {
    if (typeof text !== 'string' || Array.from(text).length !== 1)
      throw new BuiltinError('delimiters must be single characters')
    return text
  })
  const regex = globToRegex(
    pattern,
    chosen === undefined ? [] : chosen.length === 0 ? ['.'] : chosen,
  )
  return regexOf(regex).matches(operand.string(args, 2), counter(context))
}

export const REGEXES: Readonly<Record<string, Builtin>> = {
  'regex.match': { arity: 2, call: match },
  re_match: { arity: 2, call: match, deprecated: true },
  'regex.is_valid': { arity: 1, call: isValid },
  'regex.find_n': { arity: 3, call: findN },
  'regex.find_all_string_submatch_n': { arity: 3, call: findSubmatches },
  'regex.replace': { arity: 3, call: replace },
  'regex.split': {
    arity: 2,
    call: (args, context) =>
      regexOf(operand.string(args, 0)).split(operand.string(args, 1), counter(context)),
  },
  'regex.template_match': { arity: 4, call: templateMatch },
  'regex.globs_match': {
    arity: 2,
    call: (args, context) =>
      globsIntersect(operand.string(args, 0), operand.string(args, 1), counter(context)),
  },
  'glob.match': { arity: 3, call: globMatch },
  'glob.quote_meta': { arity: 1, call: (args) => quoteGlob(operand.string(args, 0)) },
}
