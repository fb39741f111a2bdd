/** RE2's syntax to a tree. What RE2 refuses (back references, look-around) is refused. */
import { BuiltinError } from '../builtins/registry.ts'
import { PERL, POSIX, setOf, unicodeProperty, type CharSet } from './char-set.ts'

export type Assertion = 'text-start' | 'text-end' | 'line-start' | 'line-end' | 'word' | 'not-word'

export type Node =
  | { readonly kind: 'empty' }
  | { readonly kind: 'set'; readonly set: CharSet; readonly ignoreCase: boolean }
  | { readonly kind: 'assert'; readonly what: Assertion }
  | { readonly kind: 'group'; readonly node: Node; readonly index: number }
  | { readonly kind: 'sequence'; readonly nodes: readonly Node[] }
  | { readonly kind: 'choice'; readonly nodes: readonly Node[] }
  | {
      readonly kind: 'repeat'
      readonly node: Node
      readonly min: number
      readonly max: number
      readonly lazy: boolean
    }

export interface Syntax {
  readonly node: Node
  /** Groups, without the whole match. */
  readonly groups: number
  readonly names: ReadonlyMap<string, number>
}

interface Flags {
  readonly i: boolean
  readonly m: boolean
  readonly s: boolean
  readonly U: boolean
}

const MAX_REPEAT = 1000
const MAX_NESTING = 200
const MAX_PATTERN = 100_000

export function parseRegex(pattern: string): Syntax {
  if (pattern.length > MAX_PATTERN) throw new BuiltinError('regular expression is too long')
  return new Parser(pattern).parse()
}

const EMPTY: Node = { kind: 'empty' }
const ANY = setOf([[0, 0x10ffff]])
const ANY_BUT_NEWLINE = setOf([[0x0a, 0x0a]], true)
const ESCAPES: Readonly<Record<string, number>> = { a: 7, f: 12, n: 10, r: 13, t: 9, v: 11 }

class Parser {
  readonly #chars: readonly string[]
  #at = 0
  #groups = 0
  #depth = 0
  readonly #names = new Map<string, number>()
  #flags: Flags = { i: false, m: false, s: false, U: false }

  constructor(pattern: string) {
    this.#chars = Array.from(pattern)
  }

  parse(): Syntax {
    const node = this.#choice()
    if (this.#at < this.#chars.length) this.#fail('unexpected `)`')
    return { node, groups: this.#groups, names: this.#names }
  }

  #fail(reason: string): never {
    throw new BuiltinError(`error parsing regexp: ${reason}`)
  }

  get #char(): string | undefined {
    return this.#chars[this.#at]
  }

  #accept(text: string): boolean {
    for (const [offset, char] of Array.from(text).entries())
      if (this.#chars[this.#at + offset] !== char) return false
    this.#at += text.length
    return true
  }

  #choice(): Node {
    if (++this.#depth > MAX_NESTING) this.#fail('expression nests too deeply')
    const outer = this.#flags
    const nodes = [this.#sequence()]
    while (this.#accept('|')) nodes.push(this.#sequence())
    this.#flags = outer
    this.#depth--
    return nodes.length === 1 ? (nodes[0] as Node) : { kind: 'choice', nodes }
  }

  #sequence(): Node {
    const nodes: Node[] = []
    while (this.#char !== undefined && this.#char !== '|' && this.#char !== ')') {
      if (this.#accept('\\Q')) nodes.push(...this.#quoted())
      else nodes.push(this.#repeats(this.#atom()))
    }
    return nodes.length === 1 ? (nodes[0] as Node) : { kind: 'sequence', nodes }
  }

  #quoted(): Node[] {
    const nodes: Node[] = []
    while (this.#char !== undefined && !this.#accept('\\E')) nodes.push(this.#literal(this.#code()))
    const last = nodes.pop()
    return last === undefined ? [] : [...nodes, this.#repeats(last)]
  }

  #code(): number {
    return (this.#chars[this.#at++] ?? this.#fail('unexpected end')).codePointAt(0) as number
  }

  #literal(code: number): Node {
    return { kind: 'set', set: setOf([[code, code]]), ignoreCase: this.#flags.i }
  }

  #repeats(atom: Node): Node {
    let node = atom
    let repeated = false
    for (;;) {
      const range = this.#range()
      if (range === undefined) return node
      if (repeated) this.#fail('invalid nested repetition operator')
      const lazy = this.#accept('?') !== this.#flags.U
      node = { kind: 'repeat', node, min: range[0], max: range[1], lazy }
      repeated = true
    }
  }

  #range(): readonly [number, number] | undefined {
    if (this.#accept('*')) return [0, Infinity]
    if (this.#accept('+')) return [1, Infinity]
    if (this.#accept('?')) return [0, 1]
    if (this.#char !== '{') return undefined
    const match = /^\{(\d{1,9})(?:(,)(\d{0,9}))?\}/.exec(
      this.#chars.slice(this.#at, this.#at + 24).join(''),
    )
    // RE2 takes a brace that is no repetition as itself.
    if (match === null) return undefined
    this.#at += match[0].length
    const min = Number(match[1])
    const max = match[2] === undefined ? min : match[3] === '' ? Infinity : Number(match[3])
    if (min > MAX_REPEAT || (max !== Infinity && max > MAX_REPEAT) || min > max)
      this.#fail('invalid repeat count')
    return [min, max]
  }

  #atom(): Node {
    const char = this.#char
    switch (char) {
      case '(':
        this.#at++
        return this.#group()
      case '[':
        this.#at++
        return { kind: 'set', set: this.#class(), ignoreCase: this.#flags.i }
      case '.':
        this.#at++
        return { kind: 'set', set: this.#flags.s ? ANY : ANY_BUT_NEWLINE, ignoreCase: false }
      case '^':
        this.#at++
        return { kind: 'assert', what: this.#flags.m ? 'line-start' : 'text-start' }
      case '$':
        this.#at++
        return { kind: 'assert', what: this.#flags.m ? 'line-end' : 'text-end' }
      case '\\':
        this.#at++
        return this.#escape()
      case '*':
      case '+':
      case '?':
        return this.#fail('missing argument to repetition operator')
      default:
        return this.#literal(this.#code())
    }
  }

  #group(): Node {
    if (!this.#accept('?')) return this.#capture()
    if (this.#accept('P<') || (this.#char === '<' && this.#accept('<'))) {
      const name = this.#until('>')
      if (!/^\w+$/.test(name) || this.#names.has(name)) this.#fail('invalid named capture')
      this.#names.set(name, this.#groups + 1)
      return this.#capture()
    }
    return this.#flagGroup()
  }

  #until(close: string): string {
    const end = this.#chars.indexOf(close, this.#at)
    if (end === -1) this.#fail(`missing \`${close}\``)
    const text = this.#chars.slice(this.#at, end).join('')
    this.#at = end + 1
    return text
  }

  #capture(): Node {
    const index = ++this.#groups
    const node = this.#choice()
    if (!this.#accept(')')) this.#fail('missing closing )')
    return { kind: 'group', node, index }
  }

  #flagGroup(): Node {
    const outer = this.#flags
    const flags = { ...outer }
    let value = true
    for (;;) {
      const char = this.#chars[this.#at++]
      if (char === 'i' || char === 'm' || char === 's' || char === 'U') flags[char] = value
      else if (char === '-' && value) value = false
      else if (char === ')') {
        this.#flags = flags
        return EMPTY
      } else if (char === ':') break
      else this.#fail('invalid or unsupported Perl syntax')
    }
    this.#flags = flags
    const node = this.#choice()
    this.#flags = outer
    if (!this.#accept(')')) this.#fail('missing closing )')
    return node
  }

  #escape(): Node {
    const char = this.#char
    switch (char) {
      case 'A':
        this.#at++
        return { kind: 'assert', what: 'text-start' }
      case 'z':
        this.#at++
        return { kind: 'assert', what: 'text-end' }
      case 'b':
        this.#at++
        return { kind: 'assert', what: 'word' }
      case 'B':
        this.#at++
        return { kind: 'assert', what: 'not-word' }
      default: {
        const set = this.#escapedSet()
        return set === undefined
          ? this.#literal(this.#escapedCode())
          : { kind: 'set', set, ignoreCase: this.#flags.i }
      }
    }
  }

  /** `\d`, `\pL`, `\p{Greek}` behind the backslash. */
  #escapedSet(): CharSet | undefined {
    const char = this.#char ?? ''
    const perl = PERL[char]
    if (perl !== undefined) {
      this.#at++
      return perl
    }
    if (char !== 'p' && char !== 'P') return undefined
    this.#at++
    let name = this.#accept('{') ? this.#until('}') : (this.#chars[this.#at++] ?? '')
    let negated = char === 'P'
    if (name.startsWith('^')) {
      negated = !negated
      name = name.slice(1)
    }
    if (name === 'Any') return setOf([[0, 0x10ffff]], negated)
    const test = unicodeProperty(name)
    if (test === undefined) this.#fail('invalid character class range')
    return { ranges: [], properties: [{ test, negated }], negated: false }
  }

  #escapedCode(): number {
    const char = this.#chars[this.#at++]
    if (char === undefined) return this.#fail('trailing backslash at end of expression')
    const simple = ESCAPES[char]
    if (simple !== undefined) return simple
    if (char === 'x') return this.#hex()
    if (char === '0' || (char >= '1' && char <= '7' && isOctal(this.#char)))
      return this.#octal(char)
    if (/[A-Za-z0-9]/.test(char)) return this.#fail('invalid escape sequence')
    return char.codePointAt(0) as number
  }

  #hex(): number {
    const digits = this.#accept('{')
      ? this.#until('}')
      : this.#chars.slice(this.#at, (this.#at += 2)).join('')
    const code = /^[0-9A-Fa-f]{1,8}$/.test(digits) ? Number.parseInt(digits, 16) : Infinity
    if (code > 0x10ffff) this.#fail('invalid escape sequence')
    return code
  }

  #octal(first: string): number {
    let digits = first
    while (digits.length < 3 && isOctal(this.#char)) digits += this.#chars[this.#at++]
    return Number.parseInt(digits, 8)
  }

  #class(): CharSet {
    const negated = this.#accept('^')
    const ranges: (readonly [number, number])[] = []
    const properties: { test: RegExp; negated: boolean }[] = []
    for (let first = true; first || this.#char !== ']'; first = false) {
      if (this.#char === undefined) this.#fail('missing closing ]')
      const set = this.#classSet()
      if (set === undefined) ranges.push(this.#classRange())
      else if (set.negated) ranges.push(...complement(set.ranges))
      else {
        ranges.push(...set.ranges)
        properties.push(...set.properties)
      }
    }
    this.#at++
    return { ranges, properties, negated }
  }

  #classSet(): CharSet | undefined {
    if (this.#char === '[' && this.#chars[this.#at + 1] === ':') {
      const match = /^\[:(\^?)([a-z]+):\]/.exec(this.#chars.slice(this.#at, this.#at + 14).join(''))
      if (match !== null) {
        const ranges = POSIX[match[2] ?? ''] ?? this.#fail('invalid character class range')
        this.#at += match[0].length
        return setOf(ranges, match[1] === '^')
      }
    }
    if (this.#char !== '\\') return undefined
    this.#at++
    const set = this.#escapedSet()
    if (set === undefined) this.#at--
    return set
  }

  #classRange(): readonly [number, number] {
    const low = this.#classCode()
    if (this.#char !== '-' || this.#chars[this.#at + 1] === ']') return [low, low]
    this.#at++
    const high = this.#classCode()
    if (high < low) this.#fail('invalid character class range')
    return [low, high]
  }

  #classCode(): number {
    return this.#accept('\\') ? this.#escapedCode() : this.#code()
  }
}

function isOctal(char: string | undefined): boolean {
  return char !== undefined && char >= '0' && char <= '7'
}

function complement(ranges: readonly (readonly [number, number])[]): (readonly [number, number])[] {
  const sorted = [...ranges].sort(([a], [b]) => a - b)
  const result: (readonly [number, number])[] = []
  let next = 0
  for (const [low, high] of sorted) {
    if (low > next) result.push([next, low - 1])
    next = Math.max(next, high + 1)
  }
  if (next <= 0x10ffff) result.push([next, 0x10ffff])
  return result
}
