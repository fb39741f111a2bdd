/** The rules of a release to a TD: those of every TEE, and what TDX has in place of AMD's TCB and guest policy. */
import { TdxReleaseSchema, type TdxRelease } from '@cloister/protocol/broker-admin-api'
import type { TdxResult } from '../attestation/attestation-result.ts'
import {
  check,
  instanceLive,
  platformListed,
  regoAllows,
  TEE_RULES,
  unset,
  type ReleaseCheck,
  type ReleaseRequest,
  type ReleaseRule,
} from './release-rules.ts'

type TdxRequest = ReleaseRequest<TdxResult>

export const TDX_RULES: readonly ReleaseRule<TdxResult>[] = [
  ...TEE_RULES,
  appraisalGoodEnough,
  ({ attestation: { claims } }) => unset('release.debug', claims.td_attributes.debug),
  ({ attestation: { claims } }) =>
    unset('release.migration-agent', claims.migratable || claims.service_td),
  tcbAccepted,
  collateralNewEnough,
  machineAccepted,
  featuresAccepted,
  platformListed,
  regoAllows,
  instanceLive,
]

const DEFAULTS = TdxReleaseSchema.parse({})

function demandsOf({ policy }: TdxRequest): TdxRelease {
  return policy.tdx ?? DEFAULTS
}

/**
 * RTMR0 holds what the host alone decides: memory, ACPI tables, variables of the firmware. Nobody can say from the guest image what is right there, so
 * where the owner did not, it is a warning.
 */
function appraisalGoodEnough(request: TdxRequest): ReleaseCheck {
  const { policy, attestation } = request
  const machineNamed = demandsOf(request).rtmr0 !== undefined
  const affirming = attestation.appraisal === 'affirming' && machineNamed
  return check('release.attestation-degraded', affirming || policy.allowDegraded, {
    expected: policy.allowDegraded ? 'affirming or warning' : 'affirming',
    received: machineNamed
      ? attestation.appraisal
      : `warning: the policy names no RTMR0; it is ${attestation.claims.quote.body.rtmr_0}`,
  })
}

function tcbAccepted(request: TdxRequest): ReleaseCheck {
  const { tcbStatuses, acceptAdvisories } = demandsOf(request)
  const { tcb_status: status, advisory_ids: advisories } = request.attestation.claims
  const others =
    acceptAdvisories === undefined || status === 'UpToDate'
      ? []
      : advisories.filter((id) => !acceptAdvisories.includes(id))
  return check('release.tdx.tcb-status', tcbStatuses.includes(status) && others.length === 0, {
    expected: tcbStatuses.join(' or '),
    received: [status, ...others].join(', '),
  })
}

function collateralNewEnough(request: TdxRequest): ReleaseCheck | undefined {
  const { minimumEvaluationDataNumber: minimum } = demandsOf(request)
  if (minimum === undefined) return undefined
  const number = request.attestation.claims.tcb_eval_num
  return check('release.tdx.evaluation-number', number >= minimum, {
    expected: `${minimum} or higher`,
    received: String(number),
  })
}

function machineAccepted(request: TdxRequest): ReleaseCheck | undefined {
  return listed('release.tdx.rtmr0', demandsOf(request).rtmr0, ({ rtmr_0 }) => rtmr_0, request)
}

function featuresAccepted(request: TdxRequest): ReleaseCheck | undefined {
  return listed('release.tdx.xfam', demandsOf(request).xfam, ({ xfam }) => xfam, request)
}

function listed(
  code: 'release.tdx.rtmr0' | 'release.tdx.xfam',
  accepted: readonly string[] | undefined,
  pick: (body: TdxResult['claims']['quote']['body']) => string,
  { attestation }: TdxRequest,
): ReleaseCheck | undefined {
  if (accepted === undefined) return undefined
  const received = pick(attestation.claims.quote.body)
  return check(code, accepted.includes(received), { expected: accepted.join(' or '), received })
}
