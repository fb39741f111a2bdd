/** Attestation of RCAR: from a message to a token, with every check in the audit. */
import { CloisterError } from '@cloister/protocol/error'
import type { Check } from '@cloister/verifier/result/check'
import type { KbsAttestation } from '@cloister/protocol/kbs'
import { earClaims } from '../attestation/ear.ts'
import type { EvidenceAppraisal } from '../attestation/appraise-evidence.ts'
import type { AttestationFindings } from '../attestation/attestation-result.ts'
import type { BrokerParts } from '../parts.ts'
import { groupOfWorkload, type Group, type StrangerEntry } from '../storage/stranger-entries.ts'
import type { WorkloadRevision } from '../storage/workload-registry.ts'
import { isKnownMeasurement, regoFor, takePlace } from './place.ts'
import type { Requester } from './requester.ts'
import type { OpenSession } from './sessions.ts'

/**
 * @param session - claimed, so that its nonce is spent whatever happens here
 * @returns the token, which is also put into the session
 * @throws CloisterError `attestation.refused`, whatever the reason
 */
export async function attest(
  parts: BrokerParts,
  session: OpenSession,
  attestation: KbsAttestation,
  from: Requester,
): Promise<string> {
  const appraised = await appraise(parts, session, attestation)
  if (!appraised.accepted) throw refuse(parts, appraised.checks, { from })
  const known = findWorkload(parts, appraised.result)
  const rego = await regoFor(parts, known)
  // Only for the owner's own: others shall not fill the audit.
  const explained = known === undefined ? [] : ((await appraised.explain?.()) ?? [])
  // INVARIANT: from here nothing is awaited, so that whoever is counted is recorded by the registry of the same moment.
  const { result, degraded } = appraised
  const workload = findWorkload(parts, result)
  const now = parts.now()
  const issue = (isDegraded: boolean) =>
    parts.tokens.issue(
      earClaims(result, {
        knownMeasurement: isKnownMeasurement(parts, result),
        currentWorkload: workload?.state === 'current',
        degraded: isDegraded,
        initdataClaims: appraised.initdataClaims,
        version: parts.version,
        now,
      }),
      result,
    )
  const token = issue(degraded)
  const place = takePlace(parts, workload, { token, result, context: { ...rego, now } })
  const checks = place === undefined ? appraised.checks : [...appraised.checks, place.check]
  if (place?.held === 'full')
    throw refuse(parts, checks, { from, workload, group: groupOf(result, workload) })
  try {
    const given = place?.held === 'none' ? issue(true) : token
    record(
      parts,
      { accepted: true, checks: [...checks, ...explained] },
      { from, workload, group: groupOf(result, workload), holdsPlace: place?.held === 'held' },
    )
    parts.sessions.attest(session, given, from.address)
    parts.metrics.count('kbs_attestation_successes_total')
    return given
  } catch (error) {
    place?.giveBack()
    throw error
  }
}

/** Undefined for evidence that everybody can make who has some hardware. */
function groupOf(
  result: AttestationFindings,
  workload: WorkloadRevision | undefined,
): Group | undefined {
  if (workload !== undefined) return groupOfWorkload(workload.name)
  return result.anchors === 'tpm' ? { name: 'tpm' } : undefined
}

interface Asked {
  readonly from: Requester
  readonly workload?: WorkloadRevision | undefined
  readonly group?: Group | undefined
  /** It is one of the few instances that may live, each of which stands in the audit. */
  readonly holdsPlace?: boolean
}

function refuse(parts: BrokerParts, checks: readonly Check[], asked: Asked): CloisterError {
  record(parts, { accepted: false, checks }, asked)
  parts.metrics.count('kbs_attestation_failures_total')
  return new CloisterError('attestation.refused', { requestId: asked.from.requestId })
}

/** A TPM holds nothing that was registered before it started. */
function findWorkload(
  { workloads }: BrokerParts,
  result: AttestationFindings,
): WorkloadRevision | undefined {
  return result.anchors === 'tpm' ? undefined : workloads.findByInitdata(result.hostData)
}

async function appraise(
  parts: BrokerParts,
  session: OpenSession,
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
  { accepted, checks }: Pick<EvidenceAppraisal, 'accepted' | 'checks'>,
  { from, workload, group, holdsPlace = false }: Asked,
): void {
  const failed =
    checks.find(({ outcome }) => outcome === 'fail') ??
    checks.find(({ outcome }) => outcome === 'undecided')
  const entry: StrangerEntry = {
    time: parts.now(),
    requestId: from.requestId,
    kind: 'attestation',
    outcome: accepted ? 'allowed' : 'refused',
    ...(!accepted && failed !== undefined && { code: failed.code }),
    ...(workload !== undefined && { workload: workload.name, revision: workload.revision }),
    checks: accepted ? [...checks] : checks.map(shorten),
  }
  if (holdsPlace) parts.audit.append(entry)
  else parts.strangers.append(from.address, entry, group)
}

/** Anybody can have evidence refused, so what passed in it is kept short: the audit shall not fill the disk. */
function shorten(check: Check): Check {
  return check.outcome === 'pass' ? { code: check.code, outcome: check.outcome } : check
}
