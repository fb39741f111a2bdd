/** Glob patterns (`*`, `**`, `?`, `[a-z]`, `[!x]`, `{a,b}`) as regular expressions over the whole text. */
import { BuiltinError } from '../builtins/registry.ts'

const META = /[*?\\[\]{}]/g

export function quoteGlob(text: string): string {
  return text.replace(META, '\\$&')
}

/**
 * The expression that a glob stands for.
 *
 * @param separators - characters that `*` and `?` do not cross; empty: they cross everything
 * @throws BuiltinError for an unfinished list or alternative
 */
export function globToRegex(glob: string, separators: readonly string[]): string {
  return new Translator(glob, separators).run()
}

class Translator {
  readonly #chars: readonly string[]
  readonly #single: string
  #at = 0
  #depth = 0

  constructor(glob: string, separators: readonly string[]) {
    this.#chars = Array.from(glob)
    this.#single = separators.length === 0 ? '.' : `[^${separators.map(escapeInClass).join('')}]`
  }

  run(): string {
    let pattern = ''
    while (this.#at < this.#chars.length) pattern += this.#next()
    if (this.#depth > 0) throw new BuiltinError('glob: unfinished alternatives')
    return `(?s)\\A(?:${pattern})\\z`
  }

  #next(): string {
    const char = this.#chars[this.#at++] as string
    switch (char) {
      case '*':
        return this.#stars()
      case '?':
        return this.#single
      case '[':
        return this.#list()
      case '{':
        this.#depth++
        return '(?:'
      case '}':
        if (this.#depth === 0) return '\\}'
        this.#depth--
        return ')'
      case ',':
        return this.#depth > 0 ? '|' : ','
      case '\\':
        return escape(this.#chars[this.#at++] ?? fail('glob: trailing backslash'))
      default:
        return escape(char)
    }
  }

  #stars(): string {
    let count = 1
    for (; this.#chars[this.#at] === '*'; this.#at++) count++
    return count > 1 ? '.*' : `${this.#single}*`
  }

  #list(): string {
    const negated = this.#chars[this.#at] === '!' || this.#chars[this.#at] === '^'
    if (negated) this.#at++
    let body = ''
    for (let first = true; first || this.#chars[this.#at] !== ']'; first = false) {
      const char = this.#chars[this.#at++] ?? fail('glob: unfinished list')
      const isRange = char === '-' && body !== '' && this.#chars[this.#at] !== ']'
      body += isRange
        ? '-'
        : escapeInClass(
            char === '\\' ? (this.#chars[this.#at++] ?? fail('glob: unfinished list')) : char,
          )
    }
    this.#at++
    return `[${negated ? '^' : ''}${body}]`
  }
}

function fail(reason: string): never {
  throw new BuiltinError(reason)
}

function escape(char: string): string {
  return /[A-Za-z0-9_]/.test(char) || (char.codePointAt(0) ?? 0) > 0x7f ? char : `\\${char}`
}

function escapeInClass(char: string): string {
  return /[\\\]^[-]/.test(char) ? `\\${char}` : char
}
