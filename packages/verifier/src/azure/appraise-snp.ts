/** The appraisal of Azure confidential VMs on AMD SEV-SNP: the SNP report vouches for the vTPM's key, the vTPM for what booted. */
import { AMD_ROOTS } from '../snp/anchors.ts'
import type { SnpRoot } from '../snp/anchors.ts'
import { checkSnpPolicy } from '../snp/policy-keys.ts'
import { appraiseSnpUnder } from '../snp/appraise.ts'
import type { SnpEndorsements } from '../snp/appraise.ts'
import type { SnpClaims } from '../snp/claims.ts'
import type { SnpExpect, SnpPolicy } from '../snp/policy.ts'
import { concludeAppraisal } from '../result/appraisal.ts'
import type { Appraisal } from '../result/appraisal.ts'
import { CheckList } from '../result/check.ts'
import type { EndorsementCache } from '../result/endorsement-cache.ts'
import type { AzSnpCheckCode } from './check-codes.ts'
import { parseAzSnpEvidence } from './evidence-json.ts'
import type { AzSnpEvidence } from './evidence.ts'
import { appraiseVtpm, attempt, checkBinding, readHcl, readVtpmExpect } from './vtpm.ts'
import type { VtpmClaims, VtpmExpect } from './vtpm.ts'

/** Of the vTPM, and of the SNP report but for its report data, which the runtime data fill. */
export type AzSnpExpect = VtpmExpect & Omit<SnpExpect, 'reportData'>

export interface AzSnpAppraiseOptions {
  /** Required. */
  readonly expect: AzSnpExpect
  /** Instant at which certificates and lists must be in date. */
  readonly now: Date
  /** Besides the VCEK that the Evidence brings along. */
  readonly endorsements?: SnpEndorsements
  /** Of the SNP report; absent means the strict default. */
  readonly policy?: SnpPolicy
  readonly cache?: EndorsementCache
}

export interface AzSnpClaims {
  readonly tee: 'az-snp'
  readonly snp: SnpClaims
  readonly vtpm: VtpmClaims
}

export type AzSnpAppraisal = Appraisal<AzSnpClaims, AzSnpCheckCode>

/**
 * Appraises the Evidence of one VM. Never throws on Evidence or endorsements, whatever their bytes.
 *
 * @param given - CoCo's JSON of version 0 to 2, or what was read from it
 * @throws TypeError, RangeError when `expect` or `now` is missing or malformed
 */
export async function appraiseAzSnp(
  given: Uint8Array | AzSnpEvidence,
  options: AzSnpAppraiseOptions,
): Promise<AzSnpAppraisal> {
  return appraiseAzSnpUnder(AMD_ROOTS, given, options)
}

/** {@link appraiseAzSnp} under other hardware roots: for the tests' fake AMD. */
export async function appraiseAzSnpUnder(
  hardwareRoots: readonly SnpRoot[],
  given: Uint8Array | AzSnpEvidence,
  options: AzSnpAppraiseOptions,
): Promise<AzSnpAppraisal> {
  const { expect, ...others } = options
  const { now } = others
  if (!(now instanceof Date) || Number.isNaN(now.getTime())) throw new TypeError('now is required')
  checkSnpPolicy(others.policy ?? {})
  const { vtpm: expected, hardware } = readVtpmExpect(expect)
  const checks = new CheckList<AzSnpCheckCode>()
  const tee = 'az-snp'
  const conclude = () => concludeAppraisal<AzSnpClaims, AzSnpCheckCode>(checks, { tee })

  const evidence =
    given instanceof Uint8Array
      ? attempt('azure.evidence.malformed', () => parseAzSnpEvidence(given), checks)
      : given
  const hcl = evidence && (await readHcl(evidence.hclReport, 'snp', checks))
  if (evidence === undefined || hcl === undefined) return conclude()
  const { hardware: report } = hcl.report
  const snp = await appraiseSnpUnder(
    hardwareRoots,
    { report, certificates: evidence.certificates },
    { ...others, expect: { ...hardware, reportData: hcl.binding } },
  )
  for (const check of snp.checks) checks.add(check.code, check.outcome, check)
  checkBinding(hcl, report.subarray(0x50, 0x90), checks)
  const vtpm = await appraiseVtpm(evidence, hcl, expected, checks)
  const snpClaims = 'claims' in snp ? snp.claims : snp.unverifiedClaims
  if (vtpm === undefined || snpClaims === undefined) return conclude()
  const claims = { tee, snp: snpClaims, vtpm } as const
  return concludeAppraisal(checks, { tee, anchor: snp.anchor, claims, tcbStatus: snp.tcbStatus })
}
