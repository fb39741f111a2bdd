import type { Check, CheckList } from './check.ts'

/**
 * Who vouches. `hardware` is a vendor's root compiled in by fingerprint; `configured` a vendor's key or root that the caller named, for
 * vendors that have none to compile in; `simulated` a root that the caller listed in `simulatedRoots`. Evidence under a simulated root
 * protects nothing and is never `affirming`. `none` is nobody, where the caller asked to look past that: never `affirming` either.
 */
export type Anchor =
  | { readonly kind: 'hardware'; readonly line: string }
  | { readonly kind: 'configured'; readonly fingerprint: string }
  | { readonly kind: 'simulated'; readonly fingerprint: string }
  | { readonly kind: 'none' }

export type Reasons<Code extends string> = readonly [Code, ...Code[]]

/**
 * What the Verifier says (AR4SI tiers). Claims are reachable only where the Evidence was verified and acceptable; elsewhere
 * they carry a name that says they are not to be trusted.
 */
export type Appraisal<Claims, Code extends string = string> =
  | (Accepted<Claims, Code> & { readonly status: 'affirming' })
  | (Accepted<Claims, Code> & { readonly status: 'warning'; readonly reasons: Reasons<Code> })
  | (Refused<Claims, Code> & { readonly status: 'none' })
  | (Refused<Claims, Code> & { readonly status: 'contraindicated' })

interface Accepted<Claims, Code extends string> {
  readonly tee: string
  readonly anchor: Anchor
  readonly claims: Claims
  readonly tcbStatus: string
  readonly advisories: readonly string[]
  readonly checks: readonly Check<Code>[]
}

interface Refused<Claims, Code extends string> {
  readonly tee: string
  /** Absent when no chain to a trusted root was found. */
  readonly anchor?: Anchor
  readonly unverifiedClaims?: Claims
  readonly tcbStatus?: string
  readonly advisories?: readonly string[]
  readonly reasons: Reasons<Code>
  readonly checks: readonly Check<Code>[]
}

/** What a TEE's appraisal found, besides its checks. Absent parts were not reached. */
export interface Findings<Claims> {
  readonly tee: string
  readonly anchor?: Anchor | undefined
  readonly claims?: Claims | undefined
  readonly tcbStatus?: string | undefined
  readonly advisories?: readonly string[] | undefined
}

/**
 * The status follows from the checks alone: any `fail` contraindicates, else any `undecided` leaves it open, else any
 * `warning` warns. Without anchor, claims or a single check nothing is affirmed.
 */
export function concludeAppraisal<Claims, Code extends string>(
  list: CheckList<Code>,
  findings: Findings<Claims>,
): Appraisal<Claims, Code> {
  const { tee, anchor, claims, tcbStatus = 'NotJudged', advisories = [] } = findings
  const { checks } = list
  const failed = codesWith(checks, 'fail')
  const undecided = codesWith(checks, 'undecided')
  const warned = codesWith(checks, 'warning')
  if (
    failed !== undefined ||
    undecided !== undefined ||
    anchor === undefined ||
    claims === undefined
  ) {
    const reasons = failed ?? undecided
    if (reasons === undefined) throw new TypeError('an appraisal ended early without a reason')
    const status = failed === undefined ? 'none' : 'contraindicated'
    return {
      status,
      tee,
      reasons,
      ...(anchor === undefined ? {} : { anchor }),
      ...(claims === undefined ? {} : { unverifiedClaims: claims, tcbStatus, advisories }),
      checks,
    }
  }
  const accepted = { tee, anchor, claims, tcbStatus, advisories, checks }
  if (warned !== undefined) return { status: 'warning', reasons: warned, ...accepted }
  if (anchor.kind === 'simulated' || anchor.kind === 'none' || checks.length === 0)
    throw new TypeError('an appraisal without a warning needs a hardware anchor and checks')
  return { status: 'affirming', ...accepted }
}

function codesWith<Code extends string>(
  checks: readonly Check<Code>[],
  outcome: Check['outcome'],
): Reasons<Code> | undefined {
  const codes: Code[] = []
  for (const check of checks)
    if (check.outcome === outcome && !codes.includes(check.code)) codes.push(check.code)
  const [first, ...others] = codes
  return first === undefined ? undefined : [first, ...others]
}
