/** Attestation of RCAR: from a message to a token, with every check in the audit. */
import { CloisterError } from '@cloister/protocol/error'
import type { Check } from '@cloister/verifier/result/check'
import type { KbsAttestation } from '@cloister/protocol/kbs'
import { earClaims, tokenEnd } from '../attestation/ear.ts'
import type { EvidenceAppraisal } from '../attestation/appraise-evidence.ts'
import { measurementOf, type AttestationFindings } from '../attestation/attestation-result.ts'
import type { BrokerParts } from '../parts.ts'
import { instanceName } from '../storage/instances.ts'
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
  const appraised = await appraise(parts, session, attestation)
  const workload = appraised.accepted ? findWorkload(parts, appraised.result) : undefined
  const appraisal = withInstance(parts, appraised, workload)
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

/** Counts the instance where the workload may have only so many; nothing is awaited between counting and recording. */
function withInstance(
  parts: BrokerParts,
  appraisal: EvidenceAppraisal,
  workload: WorkloadRevision | undefined,
): EvidenceAppraisal {
  if (!appraisal.accepted || workload?.instances === undefined) return appraisal
  // What runs another image gets no secret, and so must not take the place of one that does.
  if (!isKnownMeasurement(parts, appraisal.result)) return appraisal
  const { instances, now } = parts
  const name = instanceName(appraisal.result.runtimeData['tee-pubkey'])
  const time = now()
  const lifetime = { now: time, expiresAt: tokenEnd(time) }
  const { admitted, others } = instances.admit(workload, name, lifetime)
  const check: Check = {
    code: 'attestation.instances',
    outcome: admitted ? 'pass' : 'fail',
    expected: `${workload.instances} at most`,
    received: others.length === 0 ? name : `${name} beside ${others.join(', ')}`,
  }
  const checks = [...appraisal.checks, check]
  return admitted ? { ...appraisal, checks } : { accepted: false, checks }
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
