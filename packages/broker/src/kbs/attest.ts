/** Attestation of RCAR: from a message to a token, with every check in the audit. */
import { CloisterError } from '@cloister/protocol/error'
import type { Check } from '@cloister/verifier/result/check'
import type { KbsAttestation } from '@cloister/protocol/kbs'
import { earClaims } from '../attestation/ear.ts'
import type { EvidenceAppraisal } from '../attestation/appraise-evidence.ts'
import { measurementOf, type AttestationFindings } from '../attestation/attestation-result.ts'
import type { BrokerParts } from '../parts.ts'
import type { WorkloadRevision } from '../storage/workload-registry.ts'
import type { Session } from './sessions.ts'

/**
 * @param session - claimed, so that its nonce is spent whatever happens here
 * @returns the token, which is also put into the session
 * @throws CloisterError `attestation.refused`, whatever the reason
 */
export async function attest(
  parts: BrokerParts,
  session: Session,
  attestation: KbsAttestation,
  requestId: string,
): Promise<string> {
  const appraisal = await appraise(parts, session, attestation)
  const workload = appraisal.accepted ? findWorkload(parts, appraisal.result) : undefined
  record(parts, appraisal, { requestId, workload })
  if (!appraisal.accepted) {
    parts.metrics.count('kbs_attestation_failures_total')
    throw new CloisterError('attestation.refused', { requestId })
  }
  parts.metrics.count('kbs_attestation_successes_total')
  const { result, degraded, initdataClaims } = appraisal
  const claims = earClaims(result, {
    knownMeasurement: isKnownMeasurement(parts, result),
    currentWorkload: workload?.state === 'current',
    degraded,
    initdataClaims,
    version: parts.version,
    now: parts.now(),
  })
  const token = parts.tokens.issue(claims)
  parts.sessions.attest(session, token)
  return token
}

/** A TPM holds nothing that was registered before it started. */
function findWorkload(
  { workloads }: BrokerParts,
  result: AttestationFindings,
): WorkloadRevision | undefined {
  return result.anchors === 'tpm' ? undefined : workloads.findByInitdata(result.hostData)
}

function isKnownMeasurement({ referenceValues }: BrokerParts, result: AttestationFindings) {
  return (
    result.anchors !== 'tpm' &&
    referenceValues.find(result.anchors, measurementOf(result)).some(({ withdrawn }) => !withdrawn)
  )
}

async function appraise(
  parts: BrokerParts,
  session: Session,
  attestation: KbsAttestation,
): Promise<EvidenceAppraisal> {
  const { nonce } = attestation['runtime-data']
  if (nonce !== session.nonce)
    return {
      accepted: false,
      checks: [
        {
          code: 'attestation.nonce',
          outcome: 'fail',
          expected: session.nonce,
          received: nonce.slice(0, session.nonce.length),
        },
      ],
    }
  return parts.appraiseEvidence(session.tee, attestation, {
    simulatedRoots: parts.trust.simulatedRoots(),
    revocationLists: parts.trust.revocationLists(),
    intelCollateral: parts.trust.intelCollateral(),
    isEnrolled: (chipId) => parts.trust.isEnrolled(chipId),
    attestationAuthority: parts.attestationAuthority,
    tpmAnchors: parts.trust.tpmAnchors().map(({ fingerprint }) => fingerprint),
    now: parts.now(),
  })
}

function record(
  parts: BrokerParts,
  appraisal: EvidenceAppraisal,
  {
    requestId,
    workload,
  }: { readonly requestId: string; readonly workload: WorkloadRevision | undefined },
): void {
  const failed =
    appraisal.checks.find(({ outcome }) => outcome === 'fail') ??
    appraisal.checks.find(({ outcome }) => outcome === 'undecided')
  parts.audit.append({
    time: parts.now(),
    requestId,
    kind: 'attestation',
    outcome: appraisal.accepted ? 'allowed' : 'refused',
    ...(!appraisal.accepted && failed !== undefined && { code: failed.code }),
    ...(workload !== undefined && { workload: workload.name, revision: workload.revision }),
    checks: appraisal.accepted ? [...appraisal.checks] : appraisal.checks.map(shorten),
  })
}

/** Anybody can have evidence refused, so what passed in it is kept short: the audit shall not fill the disk. */
function shorten(check: Check): Check {
  return check.outcome === 'pass' ? { code: check.code, outcome: check.outcome } : check
}
