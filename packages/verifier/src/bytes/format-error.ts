/**
 * Bytes that do not have the format they should have. The only error a parser throws on hostile input; each layer's
 * door turns it into a check, so callers of `appraise` never see one.
 */
export class FormatError extends Error {
  /** The format, as a reader knows it: `SNP report`, `X.509 certificate`. */
  readonly format: string
  /** The field that could not be read. */
  readonly field: string
  /** Where it starts, in bytes from the start of the parsed input. */
  readonly offset: number

  constructor(format: string, field: string, offset: number, problem: string) {
    super(`Cannot parse ${format}: ${field} at offset 0x${offset.toString(16)}: ${problem}`)
    this.name = 'FormatError'
    this.format = format
    this.field = field
    this.offset = offset
  }
}
