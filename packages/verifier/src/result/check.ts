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
    this.checks.push(checkOf(code, outcome, details))
  }
}

/** Without members that are absent. Each shape is written out: members added afterwards take memory of their own, and there can be a hundred checks. */
function checkOf<Code extends string>(
  code: Code,
  outcome: CheckOutcome,
  details: CheckDetails,
): Check<Code> {
  const { where } = details
  const expected = cut(details.expected)
  const received = cut(details.received)
  if (expected === undefined) {
    if (received === undefined)
      return where === undefined ? { code, outcome } : { code, outcome, where }
    return where === undefined ? { code, outcome, received } : { code, outcome, received, where }
  }
  if (received === undefined)
    return where === undefined ? { code, outcome, expected } : { code, outcome, expected, where }
  return where === undefined
    ? { code, outcome, expected, received }
    : { code, outcome, expected, received, where }
}

const MAX_TEXT = 1024

/** Text from outside is quoted to a bounded length. */
function cut(text: string | undefined): string | undefined {
  return text === undefined || text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}…`
}
