/** Fits text to a terminal: lines break between words, and what follows hangs below the line's last column. */

// oxlint-disable-next-line no-control-regex -- colour sequences start with the escape character
export const COLOUR = /\u001B\[[0-9;]*m/g

/** In a narrower terminal, hanging lines would be longer than what they save. */
const NARROWEST = 40

/** How many columns a text takes, colours left out. */
export function visibleWidth(text: string): number {
  return text.replace(COLOUR, '').length
}

/**
 * Words are never cut, so digests and paths can still be copied whole; a terminal wraps those by itself.
 *
 * @param columns - width of the terminal; absent where there is none: nothing is changed
 */
export function wrapText(text: string, columns: number | undefined): string {
  if (columns === undefined || columns < NARROWEST) return text
  return text
    .split('\n')
    .map((line) => (visibleWidth(line) <= columns ? line : wrapLine(line, columns)))
    .join('\n')
}

function wrapLine(line: string, columns: number): string {
  const indent = hangingIndent(line.replace(COLOUR, ''), columns)
  const lines: string[] = []
  let current = ''
  let hasWord = false
  // The blanks before a word go along with it, so that columns within a line stay where they are.
  for (const piece of line.match(/ *[^ ]+/g) ?? []) {
    if (hasWord && visibleWidth(current) + visibleWidth(piece) > columns) {
      lines.push(current)
      current = ' '.repeat(indent) + piece.trimStart()
    } else current += piece
    hasWord = visibleWidth(current) > indent
  }
  return [...lines, current].join('\n')
}

/** Where the last column of the line begins, when that is in its left half; else where the line itself does, and two more for one at the edge. */
function hangingIndent(line: string, columns: number): number {
  const leading = line.length - line.trimStart().length
  let indent = leading === 0 ? 2 : leading
  for (const gap of line.matchAll(/\S {2,}(?=\S)/g)) {
    const at = gap.index + gap[0].length
    if (at > columns / 2) break
    indent = at
  }
  return Math.min(indent, Math.floor(columns / 2))
}

/** What a terminal that knows no Unicode shows in place of our punctuation. */
const ASCII: Readonly<Record<string, string>> = {
  '…': '...',
  '→': '->',
  '’': "'",
  '‘': "'",
  '–': '-',
}

/** Whether the locale says that terminals show UTF-8; where it says nothing, they do. */
function isUnicode({ LC_ALL, LC_CTYPE, LANG }: NodeJS.ProcessEnv): boolean {
  const locale = [LC_ALL, LC_CTYPE, LANG].find((value) => (value ?? '') !== '')
  return locale === undefined || /utf-?8/i.test(locale)
}

/** Text in characters that this stream's terminal can show; unchanged where there is none. */
export function inCharset(
  text: string,
  { isTTY }: Pick<NodeJS.WriteStream, 'isTTY'>,
  environment: NodeJS.ProcessEnv = process.env,
): string {
  return !isTTY || isUnicode(environment)
    ? text
    : text.replace(/[…→’‘–]/g, (character) => ASCII[character] ?? character)
}

/** Text as this stream's terminal can show it, broken where it is too wide. */
export function forTerminal(
  text: string,
  stream: Pick<NodeJS.WriteStream, 'isTTY' | 'columns'>,
  environment: NodeJS.ProcessEnv = process.env,
): string {
  return wrapText(inCharset(text, stream, environment), stream.isTTY ? stream.columns : undefined)
}
