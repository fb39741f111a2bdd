/** Data goes to standard output in the chosen format, talk to standard error. */
import { escapeText } from './escape-text.ts'
import { LiveLine } from './live-line.ts'
import { paint, type Painter } from './paint.ts'
import { COLOUR, forTerminal, inCharset, visibleWidth } from './wrap-text.ts'

export const OUTPUT_FORMATS = ['table', 'json', 'yaml', 'name'] as const
export type OutputFormat = (typeof OUTPUT_FORMATS)[number]

/** What the command line says of output. */
interface OutputChoice {
  readonly format: OutputFormat
  readonly quiet: boolean
  readonly color: boolean
}

export interface Column<Row> {
  readonly title: string
  readonly cell: (row: Row) => string
  /** Left out where the terminal is too narrow for all columns. */
  readonly spare?: true
}

export interface Output {
  readonly format: OutputFormat
  readonly painter: Painter
  /** One object: JSON or YAML of it, its name, or the lines that `text` makes. */
  object(value: object, view: { name: string; text: () => string }): Promise<void>
  /** A list: JSON or YAML array, names one a line, or a table. */
  list<Row extends object>(
    rows: readonly Row[],
    view: { name: (row: Row) => string; columns: readonly Column<Row>[] },
  ): Promise<void>
  /** A line for people, on standard error; nothing when quiet. */
  readonly talk: (line: string) => void
  /** Whether `waiting` shows anything. */
  readonly interactive: boolean
  /** What is waited for, shown with its time at the bottom of the terminal until the next call; undefined ends it. Without a terminal: nothing. */
  readonly waiting: (text: string | undefined) => void
}

/** @param write - where data goes; absent: standard output */
export function openOutput(line: OutputChoice, write: (text: string) => void = toStdout): Output {
  const painter = paint(line.color && process.stdout.isTTY)
  const live = new LiveLine(process.stderr)
  const interactive = process.stderr.isTTY && !line.quiet
  const talk = (text: string) => {
    if (line.quiet) return
    live.above(() => process.stderr.write(`${forTerminal(escapeAround(text), process.stderr)}\n`))
  }
  return {
    format: line.format,
    painter,
    async object(value, view) {
      live.show(undefined)
      if (line.format === 'name') write(`${escapeText(view.name)}\n`)
      else if (line.format === 'table')
        write(`${forTerminal(escapeAround(view.text()), process.stdout)}\n`)
      else write(await serialise(value, line.format))
    },
    async list(rows, view) {
      live.show(undefined)
      if (line.format === 'name')
        write(rows.map((row) => `${escapeText(view.name(row))}\n`).join(''))
      else if (line.format === 'table') {
        const { isTTY, columns } = process.stdout
        const fitted = fittedTable(rows, view.columns, isTTY ? columns : undefined)
        write(inCharset(fitted.text, process.stdout))
        if (fitted.hidden.length > 0)
          talk(`(this terminal is too narrow for ${fitted.hidden.join(', ')})`)
      } else write(await serialise(rows, line.format))
    },
    talk,
    interactive,
    waiting(text) {
      if (interactive) live.show(text === undefined ? undefined : escapeText(text))
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

/** A table without as many of its spare columns, from the right, as it takes to fit. */
export function fittedTable<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  width: number | undefined,
): { readonly text: string; readonly hidden: readonly string[] } {
  let shown = columns
  const hidden: string[] = []
  for (;;) {
    const text = table(rows, shown)
    const spare = shown.findLast((column) => column.spare === true)
    const fits = width === undefined || text.split('\n').every((row) => visibleWidth(row) <= width)
    if (fits || spare === undefined) return { text, hidden }
    shown = shown.filter((column) => column !== spare)
    hidden.unshift(spare.title)
  }
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

/** Made harmless for a terminal, but for our own colours. Whoever paints beside another's words escapes those first. */
function escapeAround(text: string): string {
  const colours = text.match(COLOUR) ?? []
  return text
    .split(COLOUR)
    .map((words, index) => escapeText(words) + (colours[index] ?? ''))
    .join('')
}
