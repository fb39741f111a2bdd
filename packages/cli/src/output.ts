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

export function openOutput(line: CommandLine): Output {
  const painter = paint(line.color && process.stdout.isTTY)
  return {
    format: line.format,
    painter,
    interactive: process.stderr.isTTY && !line.quiet && line.format === 'table',
    async object(value, view) {
      if (line.format === 'name') write(`${view.name}\n`)
      else if (line.format === 'table') write(`${view.text()}\n`)
      else write(await serialise(value, line.format))
    },
    async list(rows, view) {
      if (line.format === 'name') write(rows.map((row) => `${view.name(row)}\n`).join(''))
      else if (line.format === 'table') write(table(rows, view.columns))
      else write(await serialise(rows, line.format))
    },
    talk(text) {
      if (!line.quiet) process.stderr.write(`${text}\n`)
    },
  }
}

function write(text: string): void {
  process.stdout.write(text)
}

async function serialise(value: object, format: 'json' | 'yaml'): Promise<string> {
  // As JSON writes them, so the value stays the same.
  if (format === 'json') return `${escapeText(JSON.stringify(value, null, 2))}\n`
  const { stringify } = await import('yaml')
  return stringify(JSON.parse(JSON.stringify(value)))
}

/** Columns padded by their visible width, two blanks apart. */
export function table<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const lines = [
    columns.map((column) => column.title),
    ...rows.map((row) => columns.map((column) => column.cell(row))),
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

function visibleWidth(text: string): number {
  return text.replace(COLOUR, '').length
}
