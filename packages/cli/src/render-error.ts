/** Prints the one error: as the error object with `-o json`, else as lines on standard error. */
import type { CloisterError } from '@cloister/protocol/error'
import { escapeText } from './escape-text.ts'
import { paint } from './paint.ts'
import { inCharset, wrapText } from './wrap-text.ts'

export function renderError(error: CloisterError, argv: readonly string[]): void {
  const json =
    argv.some(
      (word, index) => (word === '-o' || word === '--output') && argv[index + 1] === 'json',
    ) ||
    argv.includes('-ojson') ||
    argv.includes('--output=json')
  // Standard output keeps to one JSON document: the error takes the place of the data.
  if (json) process.stdout.write(`${escapeText(JSON.stringify({ error }, null, 2))}\n`)
  const color =
    process.stderr.isTTY && (process.env['NO_COLOR'] ?? '') === '' && !argv.includes('--no-color')
  const { isTTY, columns } = process.stderr
  const text = errorText(error, color, isTTY ? columns : undefined)
  process.stderr.write(inCharset(text, process.stderr))
  if (argv.includes('--verbose') && error.stack !== undefined)
    process.stderr.write(`${escapeText(stackOf(error))}\n`)
}

const LABELS: Readonly<Record<string, string>> = { requestId: 'request' }

/** The lines that a person reads. What a host, guest or registry said in them cannot write over others. */
export function errorText(error: CloisterError, color: boolean, columns?: number): string {
  const painter = paint(color)
  const object = error.toJSON()
  // Whoever pressed Ctrl-C knows why.
  if (error.code === 'cli.interrupted' && error.details.why === undefined)
    return `${painter.bold(object.code)}  ${object.title}: ${object.why}\n`
  const lines: string[] = [
    `${painter.red('error')} ${painter.bold(object.code)}  ${object.title}`,
    `  why       ${escapeText(object.why)}`,
  ]
  for (const member of ['where', 'expected', 'received', 'requestId'] as const) {
    const value = object[member]
    if (value !== undefined)
      lines.push(`  ${(LABELS[member] ?? member).padEnd(9)} ${escapeText(value)}`)
  }
  for (const [index, fix] of object.fix.entries())
    lines.push(`  ${(index === 0 ? 'fix' : '').padEnd(9)} ${escapeText(fix)}`)
  lines.push(`  more      cloister explain ${object.code}`)
  return `${lines.map((line) => (COMMAND.test(line) ? line : wrapText(line, columns))).join('\n')}\n`
}

/** A command is copied, so it stays in one piece. */
const COMMAND = /^ {2}(?:fix|more| {4}) +(?:cloister|sudo|apt-get|apt) /

function stackOf(error: Error): string {
  const { cause } = error
  const below = cause instanceof Error ? `\ncaused by: ${stackOf(cause)}` : ''
  return `${error.stack ?? error.message}${below}`
}
