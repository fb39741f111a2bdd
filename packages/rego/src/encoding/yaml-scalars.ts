/** Line folding and escapes of YAML's scalars. */

/** Plain and quoted scalars: single line ends become spaces, further ones stay. */
export function foldPlain(text: string): string {
  if (!text.includes('\n')) return text
  return text.replace(/[ \t]*\n[ \t]*((?:\n[ \t]*)*)/g, (_, more: string) => {
    const breaks = more.split('\n').length - 1
    return breaks === 0 ? ' ' : '\n'.repeat(breaks)
  })
}

const SIMPLE: Readonly<Record<string, string>> = {
  '0': '\0',
  a: '\u0007',
  b: '\b',
  t: '\t',
  '\t': '\t',
  n: '\n',
  v: '\v',
  f: '\f',
  r: '\r',
  e: '\u001b',
  ' ': ' ',
  '"': '"',
  '/': '/',
  '\\': '\\',
  N: '\u0085',
  _: '\u00a0',
  L: '\u2028',
  P: '\u2029',
}
const HEX_LENGTH: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 }

/** The text of a double-quoted scalar; undefined when an escape is bad. */
export function unescapeDouble(raw: string): string | undefined {
  let text = ''
  let pending = ''
  const flush = (): void => {
    text += foldPlain(pending)
    pending = ''
  }
  for (let at = 0; at < raw.length; at++) {
    const char = raw[at] as string
    if (char !== '\\') {
      pending += char
      continue
    }
    flush()
    const escape = raw[++at] ?? ''
    if (escape === '\n') {
      while (/[ \t]/.test(raw[at + 1] ?? '')) at++
      continue
    }
    const length = HEX_LENGTH[escape]
    if (length === undefined) {
      const simple = SIMPLE[escape]
      if (simple === undefined) return undefined
      text += simple
      continue
    }
    const digits = raw.slice(at + 1, at + 1 + length)
    const code =
      /^[0-9a-fA-F]+$/.test(digits) && digits.length === length
        ? Number.parseInt(digits, 16)
        : Infinity
    if (code > 0x10ffff) return undefined
    text += length === 4 ? String.fromCharCode(code) : String.fromCodePoint(code)
    at += length
  }
  flush()
  return text
}

export interface BlockStyle {
  readonly folded: boolean
  readonly chomp: 'clip' | 'keep' | 'strip'
}

/** Lines of a block scalar, without their indentation, to its text. */
export function foldBlock(lines: readonly string[], { folded, chomp }: BlockStyle): string {
  let last = lines.length
  while (last > 0 && (lines[last - 1] as string).trim() === '') last--
  const content = lines
    .slice(0, last)
    .map((line) => (line.trim() === '' && !/\S/.test(line) ? line.replace(/^ +$/, '') : line))
  const text = folded ? fold(content) : content.join('\n')
  const trailing = lines.length - last
  if (chomp === 'strip') return text
  if (chomp === 'keep')
    return text + (last === 0 ? '\n'.repeat(trailing) : '\n'.repeat(trailing + 1))
  return last === 0 ? '' : `${text}\n`
}

/** Between two lines of text a line end is a space; more indented lines keep theirs. */
function fold(lines: readonly string[]): string {
  let text = ''
  let breaks = 0
  let previous: string | undefined
  for (const line of lines) {
    if (line === '') {
      breaks++
      continue
    }
    if (previous === undefined) text = '\n'.repeat(breaks) + line
    else {
      const keep = /^[ \t]/.test(line) || /^[ \t]/.test(previous)
      const joint = keep ? '\n'.repeat(breaks + 1) : breaks === 0 ? ' ' : '\n'.repeat(breaks)
      text += joint + line
    }
    breaks = 0
    previous = line
  }
  return text
}
