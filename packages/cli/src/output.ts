/** Data goes to standard output in the chosen format, talk to standard error. */
import type { CommandLine, OutputFormat } from './command.ts'
import { escapeText } from './escape-text.ts'
import { paint, type Painter } from './paint.ts'

export interface Column<Row> {
  readonly title: string
  readonly cell: (row: Row) => string
}

export interface Output {
  readonly format: OutputFormat
  readonly painter: Painter
  /** Whether standard error is a terminal that may be redrawn. */
  readonly interactive: boolean
  /** One object: JSON or YAML of it, its name, or the lines that `text` makes. */
  object(value: object, view: { name: string; text: () => string }): Promise<void>
  /** A list: JSON or YAML array, names one a line, or a table. */
  list<Row extends object>(
    rows: readonly Row[],
    view: { name: (row: Row) => string; columns: readonly Column<Row>[] },
  ): Promise<void>
  /** A line for people, on standard error; nothing when quiet. */
  readonly talk: (line: string) => void
}

/** @param write - where data goes; absent: standard output */
export function openOutput(line: CommandLine, write: (text: string) => void = toStdout): Output {
  const painter = paint(line.color && process.stdout.isTTY)
  return {
    format: line.format,
    painter,
    interactive: process.stderr.isTTY && !line.quiet && line.format === 'table',
    async object(value, view) {
      if (line.format === 'name') write(`${escapeText(view.name)}\n`)
      else if (line.format === 'table') write(`${escapeAround(view.text())}\n`)
      else write(await serialise(value, line.format))
    },
    async list(rows, view) {
      if (line.format === 'name')
        write(rows.map((row) => `${escapeText(view.name(row))}\n`).join(''))
      else if (line.format === 'table') write(table(rows, view.columns))
      else write(await serialise(rows, line.format))
    },
    talk(text) {
      if (!line.quiet) process.stderr.write(`${escapeAround(text)}\n`)
    },
  }
}

function toStdout(text: string): void {
  process.stdout.write(text)
}

async function serialise(value: object, format: 'json' | 'yaml'): Promise<string> {
  const json = JSON.stringify(value, null, 2)
  const harmless = escapeText(json)
  // As JSON writes them, so the value stays the same.
  if (format === 'json') return `${harmless}\n`
  const { stringify } = await import('yaml')
  // Where JSON has something to escape, YAML's plain words cannot say it.
  return harmless === json
    ? stringify(JSON.parse(json))
    : escapeText(stringify(JSON.parse(json), { defaultStringType: 'QUOTE_DOUBLE' }))
}

/** Columns padded by their visible width, two blanks apart. */
export function table<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const lines = [
    columns.map((column) => column.title),
    ...rows.map((row) =>
      columns.map((column) => escapeAround(column.cell(row)).replaceAll('\n', ' ')),
    ),
  ]
  const widths = columns.map((_, index) =>
    Math.max(...lines.map((cells) => visibleWidth(cells[index] ?? ''))),
  )
  return lines
    .map((cells) =>
      cells
        .map((cell, index) => cell + ' '.repeat((widths[index] ?? 0) - visibleWidth(cell)))
        .join('  ')
        .trimEnd(),
    )
    .map((text) => `${text}\n`)
    .join('')
}

// oxlint-disable-next-line no-control-regex -- colour sequences start with the escape character
const COLOUR = /\u001B\[[0-9;]*m/g

/** Made harmless for a terminal, but for our own colours. Whoever paints beside another's words escapes those first. */
function escapeAround(text: string): string {
  const colours = text.match(COLOUR) ?? []
  return text
    .split(COLOUR)
    .map((words, index) => escapeText(words) + (colours[index] ?? ''))
    .join('')
}

function visibleWidth(text: string): number {
  return text.replace(COLOUR, '').length
}
