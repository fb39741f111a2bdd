/**
 * YAML 1.2 with the core schema, one document: block and flow collections, all scalar styles, anchors, aliases,
 * merge keys. Tags other than the core ones are ignored. Repeated aliases are counted node by node, so that a
 * small text cannot stand for a huge value.
 */
import { parseNumber } from '../number.ts'
import { isArray, ObjectBuilder, RegoObject, type Value } from '../value.ts'
import { foldBlock, foldPlain, unescapeDouble } from './yaml-scalars.ts'

export class YamlError extends Error {
  override readonly name = 'YamlError'
}

const MAX_DEPTH = 200

/**
 * Parses one document; an empty text is null.
 *
 * @param count - is told how many nodes are made
 * @throws YamlError
 */
export function parseYaml(text: string, count: (nodes: number) => void = () => undefined): Value {
  return new YamlParser(text, count).document()
}

interface Line {
  readonly indent: number
  readonly text: string
}

/** Keeps a position in the text; columns are what block structure is made of. */
class YamlParser {
  readonly #text: string
  readonly #count: (nodes: number) => void
  readonly #anchors = new Map<string, { value: Value; nodes: number }>()
  #at = 0
  #nodes = 0
  #depth = 0

  constructor(text: string, count: (nodes: number) => void) {
    this.#text = text.replace(/\r\n?/g, '\n').replace(/^\ufeff/, '')
    this.#count = count
  }

  document(): Value {
    this.#skipToContent()
    while (this.#text[this.#at] === '%' && this.#column() === 0) {
      this.#skipLine()
      this.#skipToContent()
    }
    if (this.#marker('---')) this.#at += 3
    this.#skipToContent()
    if (this.#ended()) return null
    const value = this.#node(-1, false)
    this.#skipToContent()
    if (!this.#ended()) this.#fail('unexpected content after the document')
    return value
  }

  #fail(reason: string): never {
    const row = this.#text.slice(0, this.#at).split('\n').length
    throw new YamlError(`yaml: line ${row}: ${reason}`)
  }

  #marker(marker: string): boolean {
    return (
      this.#column() === 0 &&
      this.#text.startsWith(marker, this.#at) &&
      /^(?:\s|$)/.test(this.#text.slice(this.#at + 3, this.#at + 4))
    )
  }

  /** At the end of the text or of the document. */
  #ended(): boolean {
    return this.#at >= this.#text.length || this.#marker('---') || this.#marker('...')
  }

  #column(): number {
    return this.#at - (this.#text.lastIndexOf('\n', this.#at - 1) + 1)
  }

  #skipLine(): void {
    const end = this.#text.indexOf('\n', this.#at)
    this.#at = end === -1 ? this.#text.length : end
  }

  #skipBlanks(): void {
    while (this.#text[this.#at] === ' ' || this.#text[this.#at] === '\t') this.#at++
  }

  /** Over white space, line ends and comments. */
  #skipToContent(): void {
    for (;;) {
      this.#skipBlanks()
      const char = this.#text[this.#at]
      if (char === '\n') this.#at++
      else if (char === '#' && (this.#at === 0 || /\s/.test(this.#text[this.#at - 1] as string)))
        this.#skipLine()
      else return
    }
  }

  #made(nodes: number): void {
    this.#nodes += nodes
    this.#count(nodes)
  }

  /**
   * A node; the position is at its first character.
   *
   * @param parent - the column its parent stands in; block children stand further right
   * @param inline - it follows a key on the same line, so a block mapping cannot start here
   */
  #node(parent: number, inline: boolean): Value {
    if (++this.#depth > MAX_DEPTH) this.#fail('nested too deeply')
    const before = this.#nodes
    this.#made(1)
    const properties = this.#properties()
    if (properties.crossedLine) {
      this.#skipToContent()
      inline = false
      if (this.#ended() || this.#column() <= parent - (this.#isDash() ? 1 : 0)) {
        this.#depth--
        return this.#define(properties, properties.tag === '!!str' ? '' : null, before)
      }
    }
    const value = this.#content(parent, inline, properties.tag)
    this.#depth--
    return this.#define(properties, value, before)
  }

  #define({ anchor }: { anchor?: string | undefined }, value: Value, before: number): Value {
    if (anchor !== undefined) this.#anchors.set(anchor, { value, nodes: this.#nodes - before })
    return value
  }

  #properties(): { anchor?: string | undefined; tag?: string | undefined; crossedLine: boolean } {
    let anchor: string | undefined
    let tag: string | undefined
    for (;;) {
      const match = /^(?:&([^\s,[\]{}]+)|(![^\s,[\]{}]*))/.exec(
        this.#text.slice(this.#at, this.#at + 256),
      )
      if (match === null) break
      anchor = match[1] ?? anchor
      tag = match[2] ?? tag
      this.#at += match[0].length
      this.#skipBlanks()
    }
    const char = this.#text[this.#at]
    const crossedLine =
      (anchor !== undefined || tag !== undefined) &&
      (char === '\n' || char === undefined || char === '#')
    return { anchor, tag, crossedLine }
  }

  #isDash(): boolean {
    return this.#text[this.#at] === '-' && /^[\s]?$/.test(this.#text[this.#at + 1] ?? '')
  }

  #isQuestion(): boolean {
    return this.#text[this.#at] === '?' && /^[\s]?$/.test(this.#text[this.#at + 1] ?? '')
  }

  #content(parent: number, inline: boolean, tag: string | undefined): Value {
    const char = this.#text[this.#at]
    if (char === '|' || char === '>') return this.#blockScalar(parent)
    if (!inline) {
      if (this.#isDash()) return this.#blockSequence()
      if (this.#isQuestion() || this.#startsMapping()) return this.#blockMapping()
    }
    if (char === '*') return this.#alias()
    if (char === '[' || char === '{') return this.#flow()
    if (char === '"' || char === "'") return this.#quoted()
    return this.#typed(this.#plain(parent, false), tag)
  }

  #typed(text: string, tag: string | undefined): Value {
    return tag === '!!str' || tag === '!' ? text : resolvePlain(text)
  }

  #alias(): Value {
    const match = /^\*([^\s,[\]{}]+)/.exec(this.#text.slice(this.#at, this.#at + 256))
    const known = match === null ? undefined : this.#anchors.get(match[1] as string)
    if (match === null || known === undefined) this.#fail('unknown alias')
    this.#at += match[0].length
    this.#made(known.nodes)
    return known.value
  }

  /** Whether a `key:` stands on this line, with anchors, aliases and quotes seen through. */
  #startsMapping(): boolean {
    const start = this.#at
    try {
      this.#properties()
      const char = this.#text[this.#at]
      if (char === '"' || char === "'") this.#skipQuoted(char)
      else if (char === '[' || char === '{') this.#skipFlow()
      else return this.#plainKeyEnd() !== undefined
      this.#skipBlanks()
      return this.#isColon() && !this.#text.slice(start, this.#at).includes('\n')
    } finally {
      this.#at = start
    }
  }

  #isColon(): boolean {
    return this.#text[this.#at] === ':' && /^\s?$/.test(this.#text[this.#at + 1] ?? '')
  }

  /** The offset of the colon that ends a plain key on this line. */
  #plainKeyEnd(): number | undefined {
    for (let at = this.#at; at < this.#text.length && this.#text[at] !== '\n'; at++) {
      const char = this.#text[at]
      if (char === ':' && /^\s?$/.test(this.#text[at + 1] ?? '')) return at
      if (char === '#' && at > this.#at && /\s/.test(this.#text[at - 1] as string)) return undefined
    }
    return undefined
  }

  #skipQuoted(quote: string): void {
    this.#at++
    for (;;) {
      const char = this.#text[this.#at]
      if (char === undefined) this.#fail('unfinished string')
      const doubled = quote === "'" && char === quote && this.#text[this.#at + 1] === quote
      if (char === quote && !doubled) break
      this.#at += doubled || (char === '\\' && quote === '"') ? 2 : 1
    }
    this.#at++
  }

  #skipFlow(): void {
    let depth = 0
    do {
      const char = this.#text[this.#at]
      if (char === undefined || char === '\n') return
      if (char === '"' || char === "'") {
        this.#skipQuoted(char)
        continue
      }
      if (char === '[' || char === '{') depth++
      if (char === ']' || char === '}') depth--
      this.#at++
    } while (depth > 0)
  }

  #blockSequence(): Value {
    const column = this.#column()
    const items: Value[] = []
    while (!this.#ended() && this.#column() === column && this.#isDash()) {
      this.#at++
      items.push(this.#afterIndicator(column))
      this.#skipToContent()
    }
    if (!this.#ended() && this.#column() > column) this.#fail('bad indentation of a sequence entry')
    return items
  }

  /** What follows `-` or `?`: on the same line a block collection may start at once. */
  #afterIndicator(column: number): Value {
    this.#skipBlanks()
    const char = this.#text[this.#at]
    if (char !== '\n' && char !== undefined && char !== '#') return this.#node(column, false)
    this.#skipToContent()
    return this.#ended() || this.#column() <= column ? this.#null() : this.#node(column, false)
  }

  #null(): null {
    this.#made(1)
    return null
  }

  #blockMapping(): Value {
    const column = this.#column()
    const builder = new ObjectBuilder()
    const merged: RegoObject[] = []
    const seen = new Set<Value>()
    while (
      !this.#ended() &&
      this.#column() === column &&
      (this.#isQuestion() || this.#startsMapping())
    ) {
      const { key, value, isMerge } = this.#blockEntry(column)
      if (isMerge) merged.push(...mergeSources(value, () => this.#fail('bad merge key')))
      else {
        if (typeof key === 'string' && seen.has(key))
          this.#fail(`key "${key.slice(0, 40)}" already set in map`)
        seen.add(key)
        builder.set(key, value)
      }
      this.#skipToContent()
    }
    if (!this.#ended() && this.#column() > column) this.#fail('bad indentation of a mapping entry')
    return withMerged(builder, merged)
  }

  #blockEntry(column: number): { key: Value; value: Value; isMerge: boolean } {
    if (this.#isQuestion()) {
      this.#at++
      const key = this.#afterIndicator(column)
      this.#skipToContent()
      if (this.#ended() || this.#column() !== column || !this.#isColon())
        return { key, value: null, isMerge: false }
      this.#at++
      return { key, value: this.#afterIndicator(column), isMerge: false }
    }
    const isMerge = this.#text.startsWith('<<', this.#at)
    const key = this.#key()
    this.#skipBlanks()
    this.#at++
    return { key, value: this.#mappingValue(column), isMerge }
  }

  #key(): Value {
    this.#made(1)
    const { anchor, tag } = this.#properties()
    const char = this.#text[this.#at]
    let key: Value
    if (char === '"' || char === "'") key = this.#quoted()
    else if (char === '[' || char === '{') key = this.#flow()
    else if (char === '*') key = this.#alias()
    else {
      const end = this.#plainKeyEnd() as number
      const text = this.#text.slice(this.#at, end).trimEnd()
      this.#at = end
      key = this.#typed(text, tag)
    }
    return this.#define({ anchor }, key, this.#nodes - 1)
  }

  #mappingValue(column: number): Value {
    this.#skipBlanks()
    const char = this.#text[this.#at]
    if (char !== '\n' && char !== undefined && char !== '#') return this.#node(column, true)
    this.#skipToContent()
    if (this.#ended()) return this.#null()
    // A sequence may stand in the column of its key.
    const deeper = this.#column() > column || (this.#column() === column && this.#isDash())
    return deeper ? this.#node(this.#isDash() ? column - 1 : column, false) : this.#null()
  }

  #quoted(): Value {
    const quote = this.#text[this.#at] as string
    const start = this.#at + 1
    this.#skipQuoted(quote)
    const raw = this.#text.slice(start, this.#at - 1)
    if (quote === "'") return foldPlain(raw).replaceAll("''", "'")
    const text = unescapeDouble(raw)
    if (text === undefined) this.#fail('bad escape in a string')
    return text
  }

  /** A plain scalar, over several lines when they are indented deeper than `parent`. */
  #plain(parent: number, inFlow: boolean): string {
    const start = this.#at
    let end = this.#plainLineEnd(inFlow)
    if (end === start) this.#fail('expected a value')
    if ('@`%'.includes(this.#text[start] as string))
      this.#fail('a value cannot start with this character')
    for (;;) {
      this.#at = end
      const mark = this.#at
      this.#skipBlanks()
      if (this.#text[this.#at] !== '\n') {
        this.#at = mark
        break
      }
      while (/\s/.test(this.#text[this.#at] ?? '')) this.#at++
      const stops =
        this.#ended() || this.#text[this.#at] === '#' || (!inFlow && this.#column() <= parent)
      const next = stops ? this.#at : this.#plainLineEnd(inFlow)
      if (stops || next === this.#at || (!inFlow && this.#plainKeyEnd() !== undefined)) {
        this.#at = mark
        break
      }
      end = next
    }
    return foldPlain(this.#text.slice(start, end))
  }

  #plainLineEnd(inFlow: boolean): number {
    let end = this.#at
    for (let at = this.#at; at < this.#text.length && this.#text[at] !== '\n'; at++) {
      const char = this.#text[at] as string
      const next = this.#text[at + 1] ?? '\n'
      if (char === ':' && (/\s/.test(next) || (inFlow && ',[]{}'.includes(next)))) break
      if (inFlow && ',[]{}'.includes(char)) break
      if (char === '#' && at > 0 && /\s/.test(this.#text[at - 1] as string)) break
      if (char !== ' ' && char !== '\t') end = at + 1
    }
    return end
  }

  #blockScalar(parent: number): Value {
    const header = /^([|>])([+-]?)([1-9]?)([+-]?)[ \t]*(?:#[^\n]*)?(?:\n|$)/.exec(
      this.#text.slice(this.#at),
    )
    if (header === null) this.#fail('bad block scalar')
    this.#at += header[0].length
    const chomp = header[2] || header[4]
    const lines = this.#blockLines(
      Math.max(parent, 0),
      parent,
      header[3] === '' ? undefined : Number(header[3]),
    )
    return foldBlock(lines, {
      folded: header[1] === '>',
      chomp: chomp === '+' ? 'keep' : chomp === '-' ? 'strip' : 'clip',
    })
  }

  #blockLines(base: number, parent: number, explicit: number | undefined): string[] {
    const lines: Line[] = []
    let indent = explicit === undefined ? undefined : base + explicit
    while (this.#at < this.#text.length) {
      const end = this.#text.indexOf('\n', this.#at)
      const line = this.#text.slice(this.#at, end === -1 ? undefined : end)
      const spaces = line.length - line.replace(/^ +/, '').length
      const blank = line.trim() === ''
      if (!blank) {
        if (this.#ended()) break
        indent ??= spaces
        if (spaces < indent || spaces <= parent) break
      }
      lines.push({ indent: spaces, text: line })
      this.#at = end === -1 ? this.#text.length : end + 1
    }
    // The last line end belongs to the structure around the scalar.
    if (this.#at > 0 && this.#text[this.#at - 1] === '\n' && !this.#ended()) this.#at--
    return lines.map(({ text }) => text.slice(Math.min(indent ?? 0, text.length)))
  }

  #flow(): Value {
    if (++this.#depth > MAX_DEPTH) this.#fail('nested too deeply')
    const isArrayFlow = this.#text[this.#at++] === '['
    const value = isArrayFlow ? this.#flowSequence() : this.#flowMapping()
    this.#depth--
    return value
  }

  #flowSequence(): Value {
    const items: Value[] = []
    for (;;) {
      this.#skipToContent()
      if (this.#text[this.#at] === ']') break
      items.push(this.#flowItem())
      this.#skipToContent()
      if (this.#text[this.#at] === ',') this.#at++
      else if (this.#text[this.#at] !== ']') this.#fail('expected `,` or `]`')
    }
    this.#at++
    return items
  }

  /** An item may be a single pair without braces. */
  #flowItem(): Value {
    const key = this.#flowNode()
    this.#skipToContent()
    if (this.#text[this.#at] !== ':') return key
    this.#at++
    this.#skipToContent()
    const value = ',]'.includes(this.#text[this.#at] ?? ',') ? null : this.#flowNode()
    return RegoObject.of([[key, value]])
  }

  #flowNode(): Value {
    const before = this.#nodes
    this.#made(1)
    const { anchor, tag } = this.#properties()
    this.#skipToContent()
    const char = this.#text[this.#at]
    let value: Value
    if (char === '[' || char === '{') value = this.#flow()
    else if (char === '"' || char === "'") value = this.#quoted()
    else if (char === '*') value = this.#alias()
    else if (char === undefined) return this.#fail('unfinished collection')
    else if (',]}:'.includes(char) && tag !== undefined) value = ''
    else value = this.#typed(this.#plain(-1, true), tag)
    return this.#define({ anchor }, value, before)
  }

  #flowMapping(): Value {
    const builder = new ObjectBuilder()
    const merged: RegoObject[] = []
    for (;;) {
      this.#skipToContent()
      if (this.#text[this.#at] === '}') break
      if (this.#isQuestion()) this.#at++
      const isMerge = this.#text.startsWith('<<', this.#at)
      this.#skipToContent()
      const key = this.#flowNode()
      this.#skipToContent()
      let value: Value = null
      if (this.#text[this.#at] === ':') {
        this.#at++
        this.#skipToContent()
        if (!',}'.includes(this.#text[this.#at] ?? ',')) value = this.#flowNode()
      }
      if (isMerge) merged.push(...mergeSources(value, () => this.#fail('bad merge key')))
      else builder.set(key, value)
      this.#skipToContent()
      if (this.#text[this.#at] === ',') this.#at++
      else if (this.#text[this.#at] !== '}') this.#fail('expected `,` or `}`')
    }
    this.#at++
    return withMerged(builder, merged)
  }
}

function mergeSources(value: Value, fail: () => never): RegoObject[] {
  const sources = isArray(value) ? value : [value]
  return sources.map((source) => (source instanceof RegoObject ? source : fail()))
}

/** The mapping's own keys go before merged ones, earlier sources before later. */
function withMerged(builder: ObjectBuilder, merged: readonly RegoObject[]): RegoObject {
  for (const source of merged)
    for (const [key, value] of source.entries())
      if (builder.get(key) === undefined) builder.set(key, value)
  return builder.build()
}

/** The core schema. */
export function resolvePlain(text: string): Value {
  if (/^(?:~|null|Null|NULL|)$/.test(text)) return null
  if (/^(?:true|True|TRUE)$/.test(text)) return true
  if (/^(?:false|False|FALSE)$/.test(text)) return false
  if (!/^[-+.0-9]/.test(text)) return text
  return resolveNumber(text) ?? text
}

function resolveNumber(text: string): Value | undefined {
  const based = /^([-+]?)0([xo])([0-9a-fA-F]+)$/.exec(text)
  if (based !== null) {
    const [, sign, base, digits = ''] = based
    if (base === 'o' && !/^[0-7]+$/.test(digits)) return undefined
    const magnitude = BigInt(`0${base}${digits}`)
    return parseNumber((sign === '-' ? -magnitude : magnitude).toString())
  }
  if (!/^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/.test(text)) return undefined
  const normal = text
    .replace(/^\+/, '')
    .replace(/^(-?)0+(?=[0-9])/, '$1')
    .replace(/^(-?)\./, '$10.')
    .replace(/\.(?=$|[eE])/, '')
  return parseNumber(normal)
}
