/** The appraisal of SNP Evidence: parse, verify, compare. */
import { concludeAppraisal } from '../result/appraisal.ts'
import type { Anchor, Appraisal } from '../result/appraisal.ts'
import { CheckList } from '../result/check.ts'
import type { EndorsementCache } from '../result/endorsement-cache.ts'
import { AMD_ROOTS, normaliseFingerprint } from './anchors.ts'
import type { SnpRoot } from './anchors.ts'
import { appraiseGuest, readExpect } from './appraise-guest.ts'
import { appraisePlatform } from './appraise-platform.ts'
import type { SnpCheckCode } from './check-codes.ts'
import { snpClaims } from './claims.ts'
import type { SnpClaims } from './claims.ts'
import type { SnpEvidence } from './evidence.ts'
import { checkSnpPolicy } from './policy-keys.ts'
import type { SnpExpect, SnpPolicy } from './policy.ts'
import { readReport, verifySnpReport } from './verify.ts'

/** What AMD says of the platform; DER or PEM. AMD's own roots and intermediates are built in. */
export interface SnpEndorsements {
  readonly certificates?: readonly Uint8Array[]
  readonly revocationLists?: readonly Uint8Array[]
}

export interface SnpAppraiseOptions {
  /** Required. */
  readonly expect: SnpExpect
  /** Instant at which certificates and lists must be in date. */
  readonly now: Date
  /** Besides what the Evidence brings along; absent means nothing. */
  readonly endorsements?: SnpEndorsements
  /** Absent means the strict default. */
  readonly policy?: SnpPolicy
  /**
   * SHA-256 fingerprints (hex) of simulated roots. Evidence under one is at most `warning`, and its anchor says `simulated`.
   * Absent means none.
   */
  readonly simulatedRoots?: readonly (string | Uint8Array)[]
  readonly cache?: EndorsementCache
}

export type SnpAppraisal = Appraisal<SnpClaims, SnpCheckCode>

/**
 * Appraises one SNP report. Never throws on Evidence or endorsements, whatever their bytes.
 *
 * @param evidence - a bare report of 1184 bytes, or a report with certificates
 * @throws TypeError, RangeError when `expect`, `now` or a fingerprint is missing or malformed
 */
export async function appraiseSnp(
  evidence: Uint8Array | SnpEvidence,
  options: SnpAppraiseOptions,
): Promise<SnpAppraisal> {
  return appraiseSnpUnder(AMD_ROOTS, evidence, options)
}

/** {@link appraiseSnp} under other hardware roots: for the tests' fake AMD. No subpath of the package exports it by name. */
export async function appraiseSnpUnder(
  hardwareRoots: readonly SnpRoot[],
  given: Uint8Array | SnpEvidence,
  options: SnpAppraiseOptions,
): Promise<SnpAppraisal> {
  const { expect, now, policy = {}, endorsements = {}, simulatedRoots = [], cache } = options
  if (!(now instanceof Date) || Number.isNaN(now.getTime())) throw new TypeError('now is required')
  const expected = readExpect(expect)
  checkSnpPolicy(policy)
  const evidence = given instanceof Uint8Array ? { report: given } : given
  const checks = new CheckList<SnpCheckCode>()
  const tee = 'snp'

  const report = readReport(evidence.report, policy.allowUnknownReservedBits === true, checks)
  if (report === undefined) return concludeAppraisal<SnpClaims, SnpCheckCode>(checks, { tee })
  const verified = await verifySnpReport(
    evidence,
    report,
    {
      endorsements,
      now,
      hardwareRoots,
      simulatedRoots: simulatedRoots.map(normaliseFingerprint),
      requireRevocationList: policy.requireRevocationList === true,
      allowMaskedChipId: policy.allowMaskedChipId === true,
      allowUnknownReservedBits: policy.allowUnknownReservedBits === true,
      cache,
    },
    checks,
  )
  if (verified === undefined) return concludeAppraisal(checks, { tee, claims: snpClaims(report) })

  const { line, chain } = verified
  const anchor = anchorOf(chain.root)
  if (anchor.kind === 'simulated')
    checks.add('snp.anchor.simulated', 'warning', { received: anchor.fingerprint })
  appraisePlatform(verified, policy, checks)
  appraiseGuest(report, expected, policy, checks)
  const claims = snpClaims(report, { line, endorsement: chain.endorsement })
  return concludeAppraisal(checks, { tee, anchor, claims, tcbStatus: tcbStatus(checks) })
}

function anchorOf(root: SnpRoot): Anchor {
  return root.kind === 'hardware'
    ? { kind: 'hardware', line: root.line }
    : { kind: 'simulated', fingerprint: root.fingerprint }
}

/** Judged only against the policy's minimums: AMD publishes no signed statement of what is current. */
function tcbStatus({ checks }: CheckList<SnpCheckCode>): string {
  const minimums = checks.filter(
    ({ code, outcome }) =>
      (code === 'snp.tcb.below-minimum' || code === 'snp.tcb.below-preset') &&
      outcome !== 'not-checked',
  )
  if (minimums.some(({ outcome }) => outcome === 'fail')) return 'OutOfDate'
  // All four TCBs, by one of the two.
  return minimums.length >= 4 ? 'UpToDate' : 'NotJudged'
}
