/**
 * The one error of this package. Parsing, compiling and evaluating throw nothing else.
 * Codes are API; `docs/reference/rego.md` lists them beside OPA's own.
 */

/** Every code a {@link RegoError} can carry. */
export type RegoErrorCode =
  | 'rego.parse'
  | 'rego.compile'
  | 'rego.type'
  | 'rego.unsafe-var'
  | 'rego.recursion'
  | 'rego.conflict'
  | 'rego.builtin'
  | 'rego.host'
  | 'rego.input'
  | 'rego.limit.steps'
  | 'rego.limit.time'
  | 'rego.limit.memory'
  | 'rego.limit.depth'
  | 'rego.internal'

/** A place in a module. `row` and `column` count from 1; `column` counts UTF-16 units. */
export interface Location {
  readonly file: string
  readonly row: number
  readonly column: number
  /** UTF-16 offset of the first character. */
  readonly offset: number
  /** UTF-16 offset behind the last character. */
  readonly end: number
  /** The whole module text; shared by all its locations. */
  readonly source: string
}

/** The longest piece of source a message or `line` may repeat. */
const MAX_LINE = 200

/** The line of source that `location` starts in, cut to a readable length. */
export function sourceLine(location: Location): string {
  const start = location.source.lastIndexOf('\n', location.offset - 1) + 1
  const end = location.source.indexOf('\n', location.offset)
  const line = location.source.slice(start, end === -1 ? undefined : end).trimEnd()
  return line.length > MAX_LINE ? `${line.slice(0, MAX_LINE)}…` : line
}

/** A failure with a code. `file`, `row`, `column` and `line` are absent when no place in a module caused it. */
export class RegoError extends Error {
  override readonly name = 'RegoError'
  readonly code: RegoErrorCode
  readonly reason: string
  readonly file: string | undefined
  readonly row: number | undefined
  readonly column: number | undefined
  readonly line: string | undefined

  constructor(code: RegoErrorCode, reason: string, location?: Location, cause?: unknown) {
    super(
      location === undefined
        ? `${code}: ${reason}`
        : `${location.file}:${location.row}:${location.column}: ${code}: ${reason}`,
      { cause },
    )
    this.code = code
    this.reason = reason
    this.file = location?.file
    this.row = location?.row
    this.column = location?.column
    this.line = location === undefined ? undefined : sourceLine(location)
  }

  /** The shape `opa eval` gives its errors. */
  toJSON(): object {
    return {
      code: this.code,
      message: this.reason,
      ...(this.file === undefined
        ? {}
        : {
            location: { file: this.file, row: this.row, col: this.column },
            details: { line: this.line },
          }),
    }
  }
}
