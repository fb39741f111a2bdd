/** The appraisal of Azure confidential VMs on Intel TDX: the TD quote vouches for the vTPM's key, the vTPM for what booted. */
import { INTEL_ROOT } from '../dcap/anchors.ts'
import type { IntelRoot } from '../dcap/anchors.ts'
import type { DcapEndorsements, PreparedDcapEndorsements } from '../dcap/endorsements.ts'
import { concludeAppraisal } from '../result/appraisal.ts'
import type { Appraisal } from '../result/appraisal.ts'
import { fromHex } from '../bytes/hex.ts'
import { CheckList } from '../result/check.ts'
import type { EndorsementCache } from '../result/endorsement-cache.ts'
import { appraiseTdxUnder } from '../tdx/appraise.ts'
import type { TdxClaims } from '../tdx/claims.ts'
import { TDX_POLICY_KEYS } from '../tdx/policy.ts'
import type { TdxExpect, TdxPolicy } from '../tdx/policy.ts'
import { checkPolicy } from '../result/policy-values.ts'
import type { AzTdxCheckCode } from './check-codes.ts'
import { parseAzTdxEvidence } from './evidence-json.ts'
import type { AzTdxEvidence } from './evidence.ts'
import { appraiseVtpm, attempt, checkBinding, readHcl, readVtpmExpect } from './vtpm.ts'
import type { VtpmClaims, VtpmExpect } from './vtpm.ts'

/** Of the vTPM, and of the TD quote but for its report data, which the runtime data fill. */
export type AzTdxExpect = VtpmExpect & Omit<TdxExpect, 'reportData'>

export interface AzTdxAppraiseOptions {
  /** Required. */
  readonly expect: AzTdxExpect
  /** Instant at which certificates, lists and collateral must be in date. */
  readonly now: Date
  /** Intel's collateral. Absent leaves the Evidence undecided. */
  readonly endorsements?: DcapEndorsements | PreparedDcapEndorsements
  /** Collateral of Intel's next TCB recovery, to compare with. */
  readonly earlyEndorsements?: DcapEndorsements | PreparedDcapEndorsements
  /** Of the TD quote; absent means the strict default. */
  readonly policy?: TdxPolicy
  readonly cache?: EndorsementCache
}

export interface AzTdxClaims {
  readonly tee: 'az-tdx'
  readonly tdx: TdxClaims
  readonly vtpm: VtpmClaims
}

export type AzTdxAppraisal = Appraisal<AzTdxClaims, AzTdxCheckCode>

/**
 * Appraises the Evidence of one VM. Never throws on Evidence or endorsements, whatever their bytes.
 *
 * @param given - CoCo's JSON of version 0 to 2, or what was read from it
 * @throws TypeError, RangeError when `expect` or `now` is missing or malformed
 */
export async function appraiseAzTdx(
  given: Uint8Array | AzTdxEvidence,
  options: AzTdxAppraiseOptions,
): Promise<AzTdxAppraisal> {
  return appraiseAzTdxUnder(INTEL_ROOT, given, options)
}

/** {@link appraiseAzTdx} under another root: for the tests' fake Intel. */
export async function appraiseAzTdxUnder(
  root: IntelRoot,
  given: Uint8Array | AzTdxEvidence,
  options: AzTdxAppraiseOptions,
): Promise<AzTdxAppraisal> {
  const { expect, ...others } = options
  const { now } = others
  if (!(now instanceof Date) || Number.isNaN(now.getTime())) throw new TypeError('now is required')
  checkPolicy(others.policy ?? {}, TDX_POLICY_KEYS)
  const { vtpm: expected, hardware } = readVtpmExpect(expect)
  const checks = new CheckList<AzTdxCheckCode>()
  const tee = 'az-tdx'
  const conclude = () => concludeAppraisal<AzTdxClaims, AzTdxCheckCode>(checks, { tee })

  const evidence =
    given instanceof Uint8Array
      ? attempt('azure.evidence.malformed', () => parseAzTdxEvidence(given), checks)
      : given
  const hcl = evidence && (await readHcl(evidence.hclReport, 'tdx', checks))
  if (evidence === undefined || hcl === undefined) return conclude()
  const tdx = await appraiseTdxUnder(root, evidence.tdQuote, {
    ...others,
    expect: { ...hardware, reportData: hcl.binding },
  })
  for (const check of tdx.checks) checks.add(check.code, check.outcome, check)
  const tdxClaims = 'claims' in tdx ? tdx.claims : tdx.unverifiedClaims
  if (tdxClaims === undefined) return conclude()
  checkBinding(hcl, fromHex(tdxClaims.reportData), checks)
  const vtpm = await appraiseVtpm(evidence, hcl, expected, checks)
  if (vtpm === undefined) return conclude()
  const { anchor, tcbStatus, advisories } = tdx
  const claims = { tee, tdx: tdxClaims, vtpm } as const
  return concludeAppraisal(checks, { tee, anchor, claims, tcbStatus, advisories })
}
