/** Regular expressions with RE2's syntax and Go's operations, in linear time. */
import { Automaton } from './automaton.ts'
import { Machine, type Captures } from './machine.ts'
import { compileProgram, type Program } from './program.ts'
import { parseRegex, type Node, type Syntax } from './syntax.ts'

/** Counts work against the limits of the evaluation. */
export type Count = (steps: number) => void

export class Regex {
  readonly #program: Program
  readonly #machine: Machine
  readonly #automaton: Automaton | undefined
  readonly #literal: Literal | undefined

  /** @throws BuiltinError for what RE2 would refuse */
  constructor(pattern: string) {
    const syntax = parseRegex(pattern)
    this.#program = compileProgram(syntax)
    this.#machine = new Machine(this.#program)
    this.#automaton = Automaton.canRun(this.#program) ? new Automaton(this.#program) : undefined
    this.#literal = literalOf(syntax)
  }

  /** Instructions of the compiled expression. */
  get size(): number {
    return this.#program.code.length
  }

  matches(text: string, count: Count): boolean {
    const literal = this.#literal
    if (literal !== undefined) return matchesLiteral(literal, text)
    if (this.#automaton !== undefined) return this.#automaton.matches(text, count)
    return this.#machine.find(text, 0, false, count) !== undefined
  }

  /** The matches one after another, at most `limit`; none when an empty one touches the match before it. */
  findAll(text: string, limit: number, count: Count): Captures[] {
    const found: Captures[] = []
    let end = -1
    for (let from = 0; from <= text.length && found.length < limit;) {
      const match = this.#machine.find(text, from, true, count)
      if (match === undefined) break
      const [start, stop] = [match[0] as number, match[1] as number]
      if (stop > start || start !== end) {
        found.push(match)
        end = stop
      }
      from = stop > from ? stop : from + ((text.codePointAt(from) ?? 0) > 0xffff ? 2 : 1)
      if (stop > start) from = stop
    }
    return found
  }

  /** Text of a group of a match; empty when it took no part. */
  group(text: string, match: Captures, index: number): string {
    const start = match[index * 2] ?? -1
    return start < 0 ? '' : text.slice(start, match[index * 2 + 1])
  }

  groups(text: string, match: Captures): string[] {
    return Array.from({ length: this.#program.groups }, (_, index) =>
      this.group(text, match, index),
    )
  }

  /** Replaces all matches; `$1`, `${name}` and `$$` in the template mean what Go's `Expand` says. */
  replaceAll(text: string, template: string, count: Count): string {
    let result = ''
    let end = 0
    for (const match of this.findAll(text, Infinity, count)) {
      result += text.slice(end, match[0]) + this.#expand(template, text, match)
      end = match[1] as number
    }
    return result + text.slice(end)
  }

  #expand(template: string, text: string, match: Captures): string {
    return template.replace(
      /\$(?:\$|(\w+)|\{(\w+)\})/g,
      (whole, bare: string | undefined, braced: string | undefined) => {
        const name = bare ?? braced
        if (name === undefined) return whole === '$$' ? '$' : whole
        const index = /^\d+$/.test(name) ? Number(name) : this.#program.names.get(name)
        return index === undefined || index >= this.#program.groups
          ? ''
          : this.group(text, match, index)
      },
    )
  }

  split(text: string, count: Count): string[] {
    const parts: string[] = []
    let begin = 0
    for (const match of this.findAll(text, Infinity, count)) {
      const [start, stop] = [match[0] as number, match[1] as number]
      if (stop === 0) continue
      if (start === text.length && stop === start) continue
      parts.push(text.slice(begin, start))
      begin = stop
    }
    return [...parts, text.slice(begin)]
  }
}

/** An expression that is a plain text, perhaps anchored. */
interface Literal {
  readonly text: string
  readonly start: boolean
  readonly end: boolean
}

function literalOf({ node }: Syntax): Literal | undefined {
  const nodes = node.kind === 'sequence' ? [...node.nodes] : [node]
  const start = isAssertion(nodes[0], 'text-start')
  if (start) nodes.shift()
  const end = isAssertion(nodes.at(-1), 'text-end')
  if (end) nodes.pop()
  let text = ''
  for (const item of nodes) {
    const code = singleCode(item)
    if (code === undefined) return undefined
    text += String.fromCodePoint(code)
  }
  return { text, start, end }
}

function isAssertion(node: Node | undefined, what: string): boolean {
  return node?.kind === 'assert' && node.what === what
}

function singleCode(node: Node): number | undefined {
  if (node.kind !== 'set' || node.ignoreCase || node.set.negated) return undefined
  const { ranges, properties } = node.set
  const [range] = ranges
  if (ranges.length !== 1 || properties.length > 0 || range === undefined) return undefined
  // A lone surrogate would match half of a character.
  return range[0] === range[1] && (range[0] < 0xd800 || range[0] > 0xdfff) ? range[0] : undefined
}

function matchesLiteral({ text, start, end }: Literal, subject: string): boolean {
  if (start && end) return subject === text
  if (start) return subject.startsWith(text)
  return end ? subject.endsWith(text) : subject.includes(text)
}

/** Compiled expressions are kept: policies use the same few again and again. */
const CACHE_SIZE = 500
const cache = new Map<string, Regex>()

/** @throws BuiltinError */
export function regexOf(pattern: string): Regex {
  let regex = cache.get(pattern)
  if (regex === undefined) {
    regex = new Regex(pattern)
    if (cache.size >= CACHE_SIZE) cache.delete(cache.keys().next().value as string)
    // Attacker-controlled: large expressions are not kept.
    if (regex.size < 2000) cache.set(pattern, regex)
  }
  return regex
}
