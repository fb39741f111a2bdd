/** One thing that was looked at, and how it came out. */
export interface Check<Code extends string = string> {
  /** Names the failure that the check guards against; stable. `pass` means that this failure is absent. */
  readonly code: Code
  /**
   * `fail`: refused. `undecided`: cannot be judged, for an endorsement is missing or out of date. `warning`: holds, with a
   * known weakness. `not-checked`: nobody looked; by itself it changes no status.
   */
  readonly outcome: CheckOutcome
  readonly expected?: string
  readonly received?: string
  /** Byte range or component, e.g. `report 0x90..0xc0`. */
  readonly where?: string
}

export type CheckOutcome = 'pass' | 'fail' | 'undecided' | 'warning' | 'not-checked'

/** Details of a check; all optional. */
export interface CheckDetails {
  readonly expected?: string | undefined
  readonly received?: string | undefined
  readonly where?: string | undefined
}

/** Where a step writes its checks; one that takes more codes serves a step that knows fewer. */
export interface CheckSink<Code extends string> {
  /** @returns `holds`, so that a step can stop early */
  require(code: Code, holds: boolean, details?: CheckDetails): boolean
  add(code: Code, outcome: CheckOutcome, details?: CheckDetails): void
}

/** Collects checks in the order in which they were made. */
export class CheckList<Code extends string> implements CheckSink<Code> {
  readonly checks: Check<Code>[] = []

  require(code: Code, holds: boolean, details: CheckDetails = {}): boolean {
    this.add(code, holds ? 'pass' : 'fail', details)
    return holds
  }

  add(code: Code, outcome: CheckOutcome, details: CheckDetails = {}): void {
    const { expected, received, where } = details
    const check: { -readonly [Name in keyof Check<Code>]: Check<Code>[Name] } = { code, outcome }
    if (expected !== undefined) check.expected = cut(expected)
    if (received !== undefined) check.received = cut(received)
    if (where !== undefined) check.where = where
    this.checks.push(check)
  }
}

const MAX_TEXT = 1024

/** Text from outside is quoted to a bounded length. */
function cut(text: string): string {
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}…`
}
