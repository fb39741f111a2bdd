import { escapeText } from './escape-text.ts'
import type { TrustCheck } from './owner/trust-state.ts'
import type { Painter } from './paint.ts'

/**
 * A line per check; what did not pass also says what was expected and what came. What nobody looked at stands in one line at the end. A code
 * names the failure that its check guards against. Values come from evidence, so from whoever made it.
 */
export function checkLines(checks: readonly TrustCheck[], painter: Painter): string[] {
  const looked = checks.filter(({ outcome }) => outcome !== 'not-checked')
  const skipped = checks.filter(({ outcome }) => outcome === 'not-checked').map(({ code }) => code)
  return [
    ...looked.flatMap((check) => lines(check, painter)),
    ...(skipped.length === 0
      ? []
      : [painter.dim(`  not checked: ${[...new Set(skipped)].join(', ')}`)]),
  ]
}

function lines(check: TrustCheck, painter: Painter): string[] {
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
