/**
 * The small part of XML 1.0 that NVIDIA's reference manifests are written in: elements, attributes in double quotes, namespaces by prefix, white space between
 * elements and text in ASCII. Everything else is refused, so that there is one way to read a file: no document type, entities, character references, comments,
 * processing instructions, CDATA, carriage returns, single quotes, or characters that would have to be escaped.
 *
 * Within that part, Canonical XML 1.1 (https://www.w3.org/TR/xml-c14n11) is exact and short: see {@link canonicalXml}.
 */
import { FormatError } from '../bytes/format-error.ts'
import { fromUtf8 } from '../bytes/text.ts'

const FORMAT = 'reference manifest XML'
const LIMITS = { bytes: 1 << 20, elements: 4096, depth: 8, attributes: 128 } as const

export interface XmlAttribute {
  /** Empty where there is none. */
  readonly prefix: string
  readonly local: string
  readonly value: string
}

export interface XmlElement {
  readonly prefix: string
  readonly local: string
  /** Of the element's own name; empty where there is none. */
  readonly namespace: string
  /** Without namespace declarations, in the order of the file. */
  readonly attributes: readonly XmlAttribute[]
  /** Prefix to URI, all that are in scope; the empty prefix is the default namespace. */
  readonly scope: ReadonlyMap<string, string>
  readonly children: readonly (XmlElement | string)[]
}

const DECLARATION = /^<\?xml version="1\.0"(?: encoding="(?:UTF-8|utf-8)")?\?>\n?/
/** Sticky: each matches at the cursor or not at all, and none can backtrack over more than it takes. */
const TOKEN = {
  open: /<([A-Za-z_][\w.-]{0,63})(?::([A-Za-z_][\w.-]{0,63}))?/y,
  attribute: / ([A-Za-z_][\w.-]{0,63})(?::([A-Za-z_][\w.-]{0,63}))?="([ !#-%'-;=?-~]{0,4096})"/y,
  openEnd: /\/?>/y,
  close: /<\/([A-Za-z_][\w.-]{0,63})(?::([A-Za-z_][\w.-]{0,63}))?>/y,
  text: /[\n !-%'-;=?-~]{1,65536}/y,
} as const

/** @returns the root element. @throws FormatError */
export function parseStrictXml(bytes: Uint8Array): XmlElement {
  if (bytes.length > LIMITS.bytes) throw new FormatError(FORMAT, 'length', 0, 'too long')
  const text = fromUtf8(FORMAT, 'text', bytes)
  return new StrictXmlParser(trimmed(text.replace(DECLARATION, ''))).document()
}

/** White space around the root element is no part of the canonical form. */
function trimmed(text: string): string {
  const isSpace = (at: number) => text[at] === ' ' || text[at] === '\n'
  let start = 0
  let end = text.length
  while (start < end && isSpace(start)) start++
  while (end > start && isSpace(end - 1)) end--
  return text.slice(start, end)
}

class StrictXmlParser {
  readonly #text: string
  #at = 0
  #elements = 0

  constructor(text: string) {
    this.#text = text
  }

  document(): XmlElement {
    const root = this.#element(new Map(), 0)
    if (this.#at !== this.#text.length) this.#fail('end', 'something follows the root element')
    return root
  }

  /** Depth is bounded by the limit, so recursion is. */
  #element(outer: ReadonlyMap<string, string>, depth: number): XmlElement {
    if (depth === LIMITS.depth || ++this.#elements > LIMITS.elements)
      this.#fail('element', 'nested too deeply, or too many')
    const name = this.#take('open') ?? this.#fail('element', 'no start tag')
    const all = this.#attributes()
    const scope = scopeOf(outer, all, () => this.#fail('attribute', 'a namespace twice, or empty'))
    const attributes = all.filter((attribute) => declaredPrefix(attribute) === undefined)
    const [prefix, local] = split(name)
    this.#checkNames(prefix, attributes, scope)
    const end = this.#take('openEnd') ?? this.#fail('element', 'the start tag does not end')
    const children = end[0] === '/>' ? [] : this.#children(name, scope, depth)
    const namespace = scope.get(prefix) ?? ''
    return { prefix, local, namespace, attributes, scope, children }
  }

  #attributes(): XmlAttribute[] {
    const found: XmlAttribute[] = []
    for (let match = this.#take('attribute'); match !== null; match = this.#take('attribute')) {
      const [prefix, local] = split(match)
      if (found.length === LIMITS.attributes) this.#fail('attribute', 'too many')
      if (found.some((other) => other.prefix === prefix && other.local === local))
        this.#fail('attribute', 'stands twice')
      found.push({ prefix, local, value: match[3] ?? '' })
    }
    return found
  }

  /** Every prefix is declared, and no two attributes have one name by two prefixes. `xml:` attributes have rules of their own. */
  #checkNames(
    prefix: string,
    attributes: readonly XmlAttribute[],
    scope: ReadonlyMap<string, string>,
  ): void {
    for (const used of [prefix, ...attributes.map((attribute) => attribute.prefix)])
      if (used !== '' && !scope.has(used)) this.#fail('name', 'a prefix that nobody declared')
    const names = attributes.map((attribute) => expandedName(attribute, scope))
    if (new Set(names).size !== names.length) this.#fail('attribute', 'stands twice')
  }

  #children(
    name: RegExpExecArray,
    scope: ReadonlyMap<string, string>,
    depth: number,
  ): (XmlElement | string)[] {
    const children: (XmlElement | string)[] = []
    for (;;) {
      const text = this.#take('text')
      if (text !== null) children.push(text[0])
      const close = this.#take('close')
      if (close !== null) {
        if (close[1] !== name[1] || close[2] !== name[2])
          this.#fail('element', 'another end tag than start tag')
        return children
      }
      children.push(this.#element(scope, depth + 1))
    }
  }

  #take(kind: keyof typeof TOKEN): RegExpExecArray | null {
    const pattern = TOKEN[kind]
    pattern.lastIndex = this.#at
    const match = pattern.exec(this.#text)
    if (match !== null) this.#at = pattern.lastIndex
    return match
  }

  #fail(field: string, problem: string): never {
    throw new FormatError(FORMAT, field, this.#at, problem)
  }
}

function split(match: RegExpExecArray): readonly [string, string] {
  const [, first = '', second] = match
  return second === undefined ? ['', first] : [first, second]
}

/** The prefix that a namespace declaration is for; undefined for every other attribute. */
function declaredPrefix({ prefix, local }: XmlAttribute): string | undefined {
  if (prefix === 'xmlns') return local
  return prefix === '' && local === 'xmlns' ? '' : undefined
}

function scopeOf(
  outer: ReadonlyMap<string, string>,
  attributes: readonly XmlAttribute[],
  fail: () => never,
): ReadonlyMap<string, string> {
  // Nearly all elements declare nothing: they share their parent's.
  if (attributes.every((attribute) => declaredPrefix(attribute) === undefined)) return outer
  const scope = new Map(outer)
  for (const attribute of attributes) {
    const prefix = declaredPrefix(attribute)
    if (prefix === undefined) continue
    // An empty URI takes a declaration back, and xml and xmlns are not to be declared.
    if (attribute.value === '' || prefix === 'xml' || prefix === 'xmlns') fail()
    scope.set(prefix, attribute.value)
  }
  return scope
}

function expandedName({ prefix, local }: XmlAttribute, scope: ReadonlyMap<string, string>): string {
  return `${prefix === '' ? '' : (scope.get(prefix) ?? '')}\n${local}`
}

/**
 * Canonical XML 1.1 without comments of an element and what is below it. As the apex of a document subset, an element shows every namespace in scope; below it,
 * only what differs from its parent. Namespaces by prefix come first, then attributes by namespace and name; empty elements get an end tag. The parsed part of
 * XML leaves nothing else to be done: there are no comments, no references, and no characters that are written otherwise.
 *
 * @param without - left out with all below it, as the enveloped-signature transform wants
 */
export function canonicalXml(element: XmlElement, without?: XmlElement): string {
  const parts: string[] = []
  write(element, new Map(), without, parts)
  return parts.join('')
}

function write(
  element: XmlElement,
  shown: ReadonlyMap<string, string>,
  without: XmlElement | undefined,
  parts: string[],
): void {
  const { prefix, local, attributes, scope, children } = element
  const name = prefix === '' ? local : `${prefix}:${local}`
  const declarations = [...scope]
    .filter(([declared, uri]) => shown.get(declared) !== uri)
    .toSorted(([a], [b]) => compare(a, b))
    .map(([declared, uri]) => ` xmlns${declared === '' ? '' : `:${declared}`}="${uri}"`)
  const others = attributes
    .toSorted((a, b) => compare(expandedName(a, scope), expandedName(b, scope)))
    .map((attribute) => {
      const own = attribute.prefix === '' ? '' : `${attribute.prefix}:`
      return ` ${own}${attribute.local}="${attribute.value}"`
    })
  parts.push(`<${name}`, ...declarations, ...others, '>')
  for (const child of children)
    if (typeof child === 'string') parts.push(child)
    else if (child !== without) write(child, scope, without, parts)
  parts.push(`</${name}>`)
}

/** By code point; all of it is ASCII. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
