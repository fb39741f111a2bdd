import { COUNT, FLAG, TEXTS, listOf } from '../result/policy-values.ts'
import type { PolicyRules } from '../result/policy-values.ts'
import type { TcbStatus } from './tcb-status.ts'

/** What TDX and SGX appraisals accept of the platform. Whatever is absent is at its strictest. */
export interface DcapPolicy {
  /** Statuses accepted, with a warning, besides `UpToDate`. `Revoked` is never accepted. */
  readonly acceptTcbStatuses?: readonly Exclude<TcbStatus, 'Revoked'>[]
  /** With it, a status is accepted only if every advisory is on the list. */
  readonly acceptAdvisories?: readonly string[]
  /** With it, a status is accepted only this many days after the date of its TCB level. */
  readonly graceDays?: number
  /** Least `tcbEvaluationDataNumber` of TCB info and QE identity. */
  readonly minimumEvaluationDataNumber?: number
  /** Refuses what the early collateral does not accept, which is a warning otherwise; without `earlyEndorsements` the Evidence is undecided. */
  readonly refuseFailingEarlyTcb?: boolean
  /** PPIDs, platform instance ids (16 bytes in hex) or FMSPCs (6 bytes in hex) of which the platform must have one. */
  readonly allowedPlatforms?: readonly string[]
  /** Without the lists of root and PCK issuer the Evidence is undecided; this makes it `not-checked` instead. */
  readonly allowMissingRevocationLists?: boolean
}

const ACCEPTABLE = [
  'UpToDate',
  'SWHardeningNeeded',
  'ConfigurationNeeded',
  'ConfigurationAndSWHardeningNeeded',
  'OutOfDate',
  'OutOfDateConfigurationNeeded',
  'TDRelaunchAdvised',
  'TDRelaunchAdvisedConfigurationNeeded',
] as const satisfies DcapPolicy['acceptTcbStatuses']

/** What each member may hold, to refuse anything else. */
export const DCAP_POLICY_KEYS: PolicyRules<DcapPolicy> = {
  acceptTcbStatuses: listOf(...ACCEPTABLE),
  acceptAdvisories: TEXTS,
  graceDays: COUNT,
  minimumEvaluationDataNumber: COUNT,
  refuseFailingEarlyTcb: FLAG,
  allowedPlatforms: TEXTS,
  allowMissingRevocationLists: FLAG,
}
