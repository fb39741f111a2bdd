/** Response of RCAR: looks up what the decision needs, records it, and opens the secret only when it allows. */
import { CloisterError } from '@cloister/protocol/error'
import {
  measurementOf,
  platformIdsOf,
  type AttestationResult,
  type TeeResult,
} from '../attestation/attestation-result.ts'
import type { BrokerParts } from '../parts.ts'
import { decideRelease } from '../release/decide-release.ts'
import type { RegistryState } from '../release/release-rules.ts'
import { instanceName } from '../storage/instances.ts'
import { groupOfWorkload, type StrangerEntry } from '../storage/stranger-entries.ts'
import type { Requester } from './requester.ts'

/**
 * @param path - `repository/type/tag`; attacker-controlled
 * @returns the value; the caller wipes it
 * @throws CloisterError `release.refused`, whatever the reason
 */
export async function release(
  parts: BrokerParts,
  path: string,
  attestation: AttestationResult,
  { requestId, address }: Requester,
): Promise<Buffer> {
  const { secrets, audit, strangers, metrics } = parts
  let secret = secrets.find(path)
  const rego =
    secret?.policy?.rego === undefined ? undefined : await import('../release/rego-policy.ts')
  // INVARIANT: from here to the release nothing is awaited, so that the policy which decides is the one of this moment.
  if (rego !== undefined) secret = secrets.find(path)
  const time = parts.now()
  const registry = registryState(parts, attestation)
  const { allow, checks } = decideRelease(secret, attestation, registry, {
    now: time,
    ...(rego !== undefined && { askRego: rego.askReleaseRego }),
  })
  metrics.count('kbs_policy_evaluations_total')
  metrics.count(allow ? 'kbs_policy_approvals_total' : 'kbs_policy_violations_total')
  const failed = checks.find(({ outcome }) => outcome === 'fail')
  const { workload } = registry
  const group = workload && groupOfWorkload(workload.name)
  const entry: StrangerEntry = {
    time,
    requestId,
    kind: 'release',
    outcome: allow ? 'allowed' : 'refused',
    ...(failed !== undefined && { code: failed.code }),
    ...(workload !== undefined && { workload: workload.name, revision: workload.revision }),
    subject: path.slice(0, 256),
    checks: [...checks],
  }
  if (allow) audit.append(entry)
  else strangers.append(address, entry, group)
  if (!allow || secret === undefined) throw new CloisterError('release.refused', { requestId })
  return secrets.reveal(secret)
}

function isLive({ instances, now }: BrokerParts, { hostData, runtimeData }: TeeResult): boolean {
  return instances.isLive(hostData, instanceName(runtimeData['tee-pubkey']), now())
}

/** What the owner has registered about who asks, as it stands now. */
export function registryState(parts: BrokerParts, attestation: AttestationResult): RegistryState {
  const { workloads, referenceValues, trust } = parts
  const pinned = {
    simulatedRoots: trust.simulatedRoots(),
    tpmAnchors: trust.tpmAnchors().map(({ fingerprint }) => fingerprint),
  }
  // A TPM holds nothing that was registered before it started.
  if (attestation.anchors === 'tpm')
    return { workload: undefined, guestImages: [], platformEnrolled: false, ...pinned }
  const { hostData, anchors } = attestation
  const workload = workloads.findByInitdata(hostData)
  return {
    workload,
    ...(workload?.instances !== undefined && { isLiveInstance: isLive(parts, attestation) }),
    guestImages: referenceValues.find(anchors, measurementOf(attestation)),
    platformEnrolled: platformIdsOf(attestation).some((id) => trust.isEnrolled(id)),
    ...pinned,
  }
}
