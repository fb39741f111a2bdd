import { CHECK_AREAS } from './check-areas.ts'
import { escapeText } from './escape-text.ts'
import type { TrustCheck } from './owner/trust-check.ts'
import type { Painter } from './paint.ts'

/** As the owner's appraisal and the broker's audit have it. */
interface ShownCheck {
  readonly code: string
  readonly outcome: TrustCheck['outcome']
  readonly expected?: string | undefined
  readonly received?: string | undefined
  readonly where?: string | undefined
}

/**
 * A line per area of checks that all passed, with what that means and how many they were; every check that did not pass has its own lines with what was
 * expected and what came. What nobody looked at stands in one line at the end. A code names the failure that its check guards against. Values come
 * from evidence, so from whoever made it.
 *
 * @param each - a line for each check that passed too, and all that was expected
 */
export function checkLines(
  checks: readonly ShownCheck[],
  painter: Painter,
  each = false,
): string[] {
  const looked = checks.filter(({ outcome }) => outcome !== 'not-checked')
  const skipped = checks.filter(({ outcome }) => outcome === 'not-checked').map(({ code }) => code)
  return [
    ...(each ? looked.flatMap((check) => lines(check, painter)) : areaLines(looked, painter)),
    ...(skipped.length === 0
      ? []
      : [painter.dim(`  not checked: ${[...new Set(skipped)].join(', ')}`)]),
  ]
}

/** Areas in the order of their first check; what did not pass follows its area. */
function areaLines(checks: readonly ShownCheck[], painter: Painter): string[] {
  const areas = Map.groupBy(checks, ({ code }) => areaOf(code))
  return [...areas].flatMap(([area, members]) => {
    const passed = members.filter(({ outcome }) => outcome === 'pass')
    const others = members.filter(({ outcome }) => outcome !== 'pass')
    return [
      ...(passed.length === 0 ? [] : [`  ${mark('pass', painter)} ${passedText(area, passed)}`]),
      ...others.flatMap((check) =>
        lines({ ...check, expected: shortened(check.expected) }, painter),
      ),
    ]
  })
}

/** `snp.endorsement` of `snp.endorsement.expired`; `workload` of `workload.registered`. */
function areaOf(code: string): string {
  return code.split('.').slice(0, -1).slice(0, 2).join('.')
}

function passedText(area: string, passed: readonly ShownCheck[]): string {
  const codes = new Set(passed.map(({ code }) => code))
  const meaning = CHECK_AREAS[area]
  const holds = meaning?.needs.every((code) => codes.has(`${area}.${code}`)) === true
  const count = passed.length === 1 ? '1 check' : `${passed.length} checks`
  return `${area.padEnd(16)}  ${holds ? `${meaning.says} (${count})` : count}`
}

/** The launch digests of an image are two dozen. */
const MOST_ALTERNATIVES = 3

function shortened(expected: string | undefined): string | undefined {
  const alternatives = expected?.split(' or ') ?? []
  if (alternatives.length <= MOST_ALTERNATIVES) return expected
  return `${alternatives[0]}, or others that --verbose shows`
}

function lines(check: ShownCheck, painter: Painter): string[] {
  const line = `  ${mark(check.outcome, painter)} ${check.code}`
  if (check.outcome === 'pass') return [line]
  return [
    line,
    ...(['expected', 'received', 'where'] as const).flatMap((member) => {
      const value = check[member]
      return value === undefined ? [] : [`          ${member.padEnd(9)} ${escapeText(value)}`]
    }),
  ]
}

function mark(outcome: TrustCheck['outcome'], painter: Painter): string {
  switch (outcome) {
    case 'pass':
      return 'ok     '
    case 'fail':
      return painter.red('FAIL   ')
    case 'undecided':
      return painter.yellow('unknown')
    case 'warning':
      return painter.yellow('warn   ')
    case 'not-checked':
      return painter.dim('skip   ')
    default:
      return outcome satisfies never
  }
}
