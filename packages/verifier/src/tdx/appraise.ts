/** The appraisal of TDX quotes: parse, verify, compare. */
import { toHex } from '../bytes/hex.ts'
import { isZero } from '../bytes/reader.ts'
import { INTEL_ROOT } from '../dcap/anchors.ts'
import type { IntelRoot } from '../dcap/anchors.ts'
import type { DcapEndorsements, PreparedDcapEndorsements } from '../dcap/endorsements.ts'
import type { TdReport } from '../dcap/td-report.ts'
import { readQuote, verifyQuote } from '../dcap/verify.ts'
import { concludeAppraisal } from '../result/appraisal.ts'
import type { Appraisal } from '../result/appraisal.ts'
import { CheckList } from '../result/check.ts'
import type { CheckSink } from '../result/check.ts'
import type { EndorsementCache } from '../result/endorsement-cache.ts'
import { checkExpectations, readExpectations } from '../result/fields.ts'
import type { ExpectedField } from '../result/fields.ts'
import { checkPolicy } from '../result/policy-values.ts'
import type { TdxCheckCode } from './check-codes.ts'
import { tdxClaims } from './claims.ts'
import type { TdxClaims } from './claims.ts'
import { TDX_POLICY_KEYS } from './policy.ts'
import type { TdxExpect, TdxPolicy } from './policy.ts'
import { readTdAttributes } from './td-attributes.ts'

export interface TdxAppraiseOptions {
  /** Required. */
  readonly expect: TdxExpect
  /** Instant at which certificates, lists and collateral must be in date. */
  readonly now: Date
  /** Intel's collateral; prepare it once to save its signature checks. Absent leaves the Evidence undecided. */
  readonly endorsements?: DcapEndorsements | PreparedDcapEndorsements
  /** Collateral of Intel's next TCB recovery (`update=early`): what it will not accept is a warning. Absent: not compared. */
  readonly earlyEndorsements?: DcapEndorsements | PreparedDcapEndorsements
  /** Absent means the strict default. */
  readonly policy?: TdxPolicy
  readonly cache?: EndorsementCache
}

export type TdxAppraisal = Appraisal<TdxClaims, TdxCheckCode>

type Checks = CheckSink<TdxCheckCode>

const FIELDS: readonly ExpectedField<keyof TdxExpect, TdxCheckCode>[] = [
  { name: 'reportData', code: 'tdx.report-data.mismatch', size: 64, demanded: true },
  { name: 'mrTd', code: 'tdx.mr-td.mismatch', size: 48, demanded: true },
  { name: 'mrConfigId', code: 'tdx.mr-config-id.mismatch', size: 48, demanded: true },
  { name: 'rtmr0', code: 'tdx.rtmr0.mismatch', size: 48, demanded: true },
  { name: 'rtmr1', code: 'tdx.rtmr1.mismatch', size: 48, demanded: true },
  { name: 'rtmr2', code: 'tdx.rtmr2.mismatch', size: 48, demanded: true },
  { name: 'rtmr3', code: 'tdx.rtmr3.mismatch', size: 48, demanded: true },
  { name: 'mrOwner', code: 'tdx.mr-owner.mismatch', size: 48, demanded: false },
  { name: 'mrOwnerConfig', code: 'tdx.mr-owner-config.mismatch', size: 48, demanded: false },
]

/**
 * Appraises one TDX quote of version 4 or 5. Never throws on Evidence or endorsements, whatever their bytes.
 *
 * @throws TypeError, RangeError when `expect` or `now` is missing or malformed
 */
export async function appraiseTdx(
  evidence: Uint8Array,
  options: TdxAppraiseOptions,
): Promise<TdxAppraisal> {
  return appraiseTdxUnder(INTEL_ROOT, evidence, options)
}

/** {@link appraiseTdx} under another root: for the tests' fake Intel. */
export async function appraiseTdxUnder(
  root: IntelRoot,
  evidence: Uint8Array,
  options: TdxAppraiseOptions,
): Promise<TdxAppraisal> {
  const { expect, now, endorsements = {}, policy = {}, cache, earlyEndorsements } = options
  if (!(now instanceof Date) || Number.isNaN(now.getTime())) throw new TypeError('now is required')
  const expected = readExpectations(FIELDS, expect)
  checkPolicy(policy, TDX_POLICY_KEYS)
  const checks = new CheckList<TdxCheckCode>()
  const tee = 'tdx'
  const quote = readQuote(evidence, tee, checks)
  if (quote?.body.kind !== 'tdx') return concludeAppraisal<TdxClaims, TdxCheckCode>(checks, { tee })
  const { report } = quote.body
  const verified = await verifyQuote(
    quote,
    { endorsements, now, root, policy, cache, earlyEndorsements },
    checks,
  )
  if (verified === undefined)
    return concludeAppraisal(checks, { tee, claims: tdxClaims(quote, report) })
  checkExpectations(checks, expected, (name) => report[name])
  checkAttributes(report, policy, checks)
  checkModule(report, policy, checks)
  checkServiceTd(report, policy, checks)
  return concludeAppraisal(checks, {
    tee,
    anchor: { kind: 'hardware', line: 'Intel SGX' },
    claims: tdxClaims(quote, report, verified),
    tcbStatus: verified.tcb?.status,
    advisories: verified.tcb?.advisories,
  })
}

function checkAttributes({ tdAttributes }: TdReport, policy: TdxPolicy, checks: Checks): void {
  const attributes = readTdAttributes(tdAttributes)
  const details = { received: attributes.raw, where: 'TD attributes' }
  const allowed = (set: boolean, may: boolean | undefined) =>
    set ? (may === true ? 'warning' : 'fail') : 'pass'
  const debug = attributes.debug || attributes.underDebug
  checks.add('tdx.policy.debug', allowed(debug, policy.allowDebugTd), details)
  checks.add(
    'tdx.policy.migratable',
    allowed(attributes.migratable, policy.allowMigratableTd),
    details,
  )
  const septVe = policy.requireSeptVeDisable === true ? 'fail' : 'warning'
  checks.add('tdx.policy.sept-ve', attributes.septVeDisable ? 'pass' : septVe, details)
  checks.add('tdx.policy.reserved-bits', attributes.reserved ? 'warning' : 'pass', details)
}

function checkModule({ mrSeam }: TdReport, { allowedModules }: TdxPolicy, checks: Checks): void {
  const received = toHex(mrSeam)
  if (allowedModules === undefined)
    checks.add('tdx.module.not-allowed', 'not-checked', { received })
  else
    checks.require('tdx.module.not-allowed', isListed(received, allowedModules), {
      expected: allowedModules.join(' or '),
      received,
    })
}

function checkServiceTd({ mrServiceTd }: TdReport, policy: TdxPolicy, checks: Checks): void {
  if (mrServiceTd === undefined || isZero(mrServiceTd)) {
    checks.add('tdx.service-td.bound', 'pass')
    return
  }
  const received = toHex(mrServiceTd)
  const { allowedServiceTds } = policy
  if (allowedServiceTds === undefined) checks.add('tdx.service-td.bound', 'warning', { received })
  else checks.require('tdx.service-td.bound', isListed(received, allowedServiceTds), { received })
}

function isListed(hex: string, list: readonly string[]): boolean {
  return list.some((entry) => entry.toLowerCase() === hex)
}
