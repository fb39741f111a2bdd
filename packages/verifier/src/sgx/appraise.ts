/** The appraisal of SGX quotes: parse, verify, compare. */
import { INTEL_ROOT } from '../dcap/anchors.ts'
import type { IntelRoot } from '../dcap/anchors.ts'
import type { TcbCheckCode } from '../dcap/appraise-tcb.ts'
import { ENCLAVE_FLAG } from '../dcap/enclave-report.ts'
import type { EnclaveReport } from '../dcap/enclave-report.ts'
import type { DcapEndorsements, PreparedDcapEndorsements } from '../dcap/endorsements.ts'
import { readQuote, verifyQuote } from '../dcap/verify.ts'
import { concludeAppraisal } from '../result/appraisal.ts'
import type { Appraisal } from '../result/appraisal.ts'
import { CheckList } from '../result/check.ts'
import type { CheckSink } from '../result/check.ts'
import type { EndorsementCache } from '../result/endorsement-cache.ts'
import { checkExpectations, readExpectations } from '../result/fields.ts'
import type { ExpectedField } from '../result/fields.ts'
import { checkPolicy } from '../result/policy-values.ts'
import type { SgxCheckCode } from './check-codes.ts'
import { sgxClaims } from './claims.ts'
import type { SgxClaims } from './claims.ts'
import { SGX_POLICY_KEYS } from './policy.ts'
import type { SgxExpect, SgxPolicy } from './policy.ts'

export interface SgxAppraiseOptions {
  /** Required. */
  readonly expect: SgxExpect
  /** Instant at which certificates, lists and collateral must be in date. */
  readonly now: Date
  /** Intel's collateral; prepare it once to save its signature checks. Absent leaves the Evidence undecided. */
  readonly endorsements?: DcapEndorsements | PreparedDcapEndorsements
  /** Collateral of Intel's next TCB recovery (`update=early`): what it will not accept is a warning. Absent: not compared. */
  readonly earlyEndorsements?: DcapEndorsements | PreparedDcapEndorsements
  /** Absent means the strict default. */
  readonly policy?: SgxPolicy
  readonly cache?: EndorsementCache
}

/** TDX module codes are of the shared TCB code and never come out for an enclave. */
type Code = SgxCheckCode | TcbCheckCode

export type SgxAppraisal = Appraisal<SgxClaims, Code>

const FIELDS: readonly ExpectedField<keyof SgxExpect, Code>[] = [
  { name: 'reportData', code: 'sgx.report-data.mismatch', size: 64, demanded: true },
  { name: 'mrEnclave', code: 'sgx.mr-enclave.mismatch', size: 32, demanded: true },
  { name: 'mrSigner', code: 'sgx.mr-signer.mismatch', size: 32, demanded: true },
  { name: 'configId', code: 'sgx.config-id.mismatch', size: 64, demanded: false },
  { name: 'isvFamilyId', code: 'sgx.isv-family-id.mismatch', size: 16, demanded: false },
  { name: 'isvExtProdId', code: 'sgx.isv-ext-prod-id.mismatch', size: 16, demanded: false },
]

/**
 * Appraises one SGX quote of version 3, 4 or 5. Never throws on Evidence or endorsements, whatever their bytes.
 *
 * @throws TypeError, RangeError when `expect` or `now` is missing or malformed
 */
export async function appraiseSgx(
  evidence: Uint8Array,
  options: SgxAppraiseOptions,
): Promise<SgxAppraisal> {
  return appraiseSgxUnder(INTEL_ROOT, evidence, options)
}

/** {@link appraiseSgx} under another root: for the tests' fake Intel. */
export async function appraiseSgxUnder(
  root: IntelRoot,
  evidence: Uint8Array,
  options: SgxAppraiseOptions,
): Promise<SgxAppraisal> {
  const { expect, now, endorsements = {}, policy = {}, cache, earlyEndorsements } = options
  if (!(now instanceof Date) || Number.isNaN(now.getTime())) throw new TypeError('now is required')
  const expected = readExpectations(FIELDS, expect)
  checkPolicy(policy, SGX_POLICY_KEYS)
  const checks = new CheckList<Code>()
  const tee = 'sgx'
  const quote = readQuote(evidence, tee, checks)
  if (quote?.body.kind !== 'sgx') return concludeAppraisal<SgxClaims, Code>(checks, { tee })
  const { report } = quote.body
  const verified = await verifyQuote(
    quote,
    { endorsements, now, root, policy, cache, earlyEndorsements },
    checks,
  )
  if (verified === undefined)
    return concludeAppraisal(checks, { tee, claims: sgxClaims(quote, report) })
  checkExpectations(checks, expected, (name) => report[name])
  checkEnclave(report, policy, checks)
  return concludeAppraisal(checks, {
    tee,
    anchor: { kind: 'hardware', line: 'Intel SGX' },
    claims: sgxClaims(quote, report, verified),
    tcbStatus: verified.tcb?.status,
    advisories: verified.tcb?.advisories,
  })
}

function checkEnclave(report: EnclaveReport, policy: SgxPolicy, checks: CheckSink<Code>): void {
  const flags = report.attributes[0] ?? 0
  const debug = (flags & ENCLAVE_FLAG.debug) !== 0
  const outcome = debug ? (policy.allowDebugEnclave === true ? 'warning' : 'fail') : 'pass'
  checks.add('sgx.policy.debug', outcome, { where: 'attributes' })
  checks.require('sgx.policy.not-initialised', (flags & ENCLAVE_FLAG.init) !== 0, {
    where: 'attributes',
  })
  const { isvProdId, minimumIsvSvn } = policy
  if (isvProdId === undefined)
    checks.add('sgx.isv-prod-id.mismatch', 'not-checked', { received: `${report.isvProdId}` })
  else
    checks.require('sgx.isv-prod-id.mismatch', report.isvProdId === isvProdId, {
      expected: `${isvProdId}`,
      received: `${report.isvProdId}`,
    })
  if (minimumIsvSvn === undefined)
    checks.add('sgx.isv-svn.below-minimum', 'not-checked', { received: `${report.isvSvn}` })
  else
    checks.require('sgx.isv-svn.below-minimum', report.isvSvn >= minimumIsvSvn, {
      expected: `at least ${minimumIsvSvn}`,
      received: `${report.isvSvn}`,
    })
}
