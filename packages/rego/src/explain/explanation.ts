/** An explanation as data, and as a text for people. */
import type { Location } from '../error.ts'

export interface ExplainOptions {
  /**
   * Paths of secret values, such as `input.token` or `data.keys.*.private`. They and texts that contain them are
   * shown as `[redacted]`. What a policy derives from them by a function is hidden only where the call's arguments
   * are shown with it.
   */
  readonly redact?: readonly string[]
}

/** What a term of an expression was. */
export interface SeenValue {
  readonly term: string
  /** Rego's notation, cut to a readable length; absent: undefined. */
  readonly value?: string
}

export interface FailedExpression {
  readonly text: string
  readonly file: string
  readonly row: number
  /** Values it saw, the first time it was reached. */
  readonly seen: readonly SeenValue[]
  /** Documents and functions it asked for. */
  readonly asked: readonly RuleTrace[]
}

export interface AttemptTrace {
  readonly file: string
  readonly row: number
  readonly outcome: 'held' | 'failed' | 'arguments-differ'
  /** Expressions that held, in the order of evaluation, and how many there are. */
  readonly passed: number
  readonly total: number
  /** Present when the attempt failed or gave false. */
  readonly failed?: FailedExpression
}

export interface RuleTrace {
  /** `data.policy.allow`. */
  readonly name: string
  /** Of a function: its arguments. */
  readonly args?: readonly string[]
  /** Rego's notation; absent: undefined. */
  readonly value?: string
  readonly attempts: readonly AttemptTrace[]
  /** Evaluated before; its attempts stand there. */
  readonly again?: boolean
}

/** One step on the way from the query to what kept it from holding. */
export interface ClosestStep {
  readonly rule: string
  readonly file: string
  readonly row: number
  readonly passed: number
  readonly total: number
  readonly failed: FailedExpression
}

export interface Explanation {
  readonly rules: readonly RuleTrace[]
  /** Empty when the result is neither undefined nor false. The last step is the nearest cause. */
  readonly closest: readonly ClosestStep[]
  /** Calls of built-ins that were undefined because of their arguments. */
  readonly builtinErrors: readonly {
    readonly message: string
    readonly file: string
    readonly row: number
  }[]
  /** More happened than is kept. */
  readonly truncated: boolean
}

/** The way to the nearest cause: of each document the attempt that came furthest. */
export function closestSteps(rules: readonly RuleTrace[]): ClosestStep[] {
  const steps: ClosestStep[] = []
  const seen = new Set<RuleTrace>()
  let at = pickRule(rules)
  while (at !== undefined && !seen.has(at)) {
    seen.add(at)
    const attempt = pickAttempt(at)
    if (attempt?.failed === undefined) break
    const { file, row, passed, total, failed } = attempt
    steps.push({ rule: at.name, file, row, passed, total, failed })
    at = pickRule(failed.asked)
  }
  return steps
}

function isNegative({ value }: RuleTrace): boolean {
  return value === undefined || value === 'false'
}

/** Of the documents asked for, the one whose attempt came furthest. */
function pickRule(rules: readonly RuleTrace[]): RuleTrace | undefined {
  let best: RuleTrace | undefined
  for (const rule of rules) {
    if (!isNegative(rule) || pickAttempt(rule) === undefined) continue
    if (best === undefined || compareAttempts(pickAttempt(rule), pickAttempt(best)) < 0) best = rule
  }
  return best
}

function pickAttempt({ attempts }: RuleTrace): AttemptTrace | undefined {
  let best: AttemptTrace | undefined
  for (const attempt of attempts)
    if (attempt.failed !== undefined && (best === undefined || compareAttempts(attempt, best) < 0))
      best = attempt
  return best
}

/** The larger share of expressions that held first, then the larger number. */
function compareAttempts(a: AttemptTrace | undefined, b: AttemptTrace | undefined): number {
  if (a === undefined || b === undefined) return 0
  return share(b) - share(a) || b.passed - a.passed
}

function share({ passed, total }: AttemptTrace): number {
  return total === 0 ? 0 : passed / total
}

export function placeOf({ file, row }: Location): { file: string; row: number } {
  return { file, row }
}

/** The explanation as an indented tree, the nearest cause last. */
export function explanationText(explanation: Explanation): string {
  const lines = explanation.rules.flatMap((rule) => ruleLines(rule, ''))
  for (const { message, file, row } of explanation.builtinErrors)
    lines.push(`built-in undefined at ${file}:${row}: ${message}`)
  if (explanation.truncated) lines.push('… more was tried than is kept')
  const last = explanation.closest.at(-1)
  if (last !== undefined) {
    lines.push(
      '',
      `closest: ${explanation.closest.map(({ rule, row }) => `${rule} (line ${row})`).join(' > ')}`,
    )
    lines.push(...failureLines(last.failed, '  '))
  }
  return lines.join('\n')
}

function ruleLines(rule: RuleTrace, margin: string): string[] {
  const call = rule.args === undefined ? rule.name : `${rule.name}(${rule.args.join(', ')})`
  const outcome = rule.value === undefined ? 'undefined' : rule.value
  const lines = [`${margin}${call} = ${outcome}${rule.again === true ? ' (see above)' : ''}`]
  for (const attempt of rule.attempts) lines.push(...attemptLines(attempt, `${margin}  `))
  return lines
}

function attemptLines(attempt: AttemptTrace, margin: string): string[] {
  const place = `${attempt.file}:${attempt.row}`
  if (attempt.outcome === 'arguments-differ') return [`${margin}- ${place}: arguments differ`]
  const head = `${margin}${attempt.outcome === 'held' ? '+' : '-'} ${place}: ${attempt.passed} of ${attempt.total} held`
  if (attempt.failed === undefined) return [head]
  return [
    head,
    ...failureLines(attempt.failed, `${margin}    `),
    ...attempt.failed.asked.flatMap((rule) => ruleLines(rule, `${margin}    `)),
  ]
}

function failureLines({ text, row, seen }: FailedExpression, margin: string): string[] {
  return [
    `${margin}line ${row}: ${text.replace(/\s+/g, ' ')}`,
    ...seen.map(({ term, value }) => `${margin}  ${term} = ${value ?? 'undefined'}`),
  ]
}
