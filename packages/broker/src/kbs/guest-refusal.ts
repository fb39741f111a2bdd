/** A refusal that a guest tells its owner about: written into the audit as that guest's word. Nothing else follows from it. */
import { CloisterError } from '@cloister/protocol/error'
import type { GuestRefusal } from '@cloister/protocol/guest-refusal'
import type { AttestationResult } from '../attestation/attestation-result.ts'
import type { BrokerParts } from '../parts.ts'
import { isRegistered } from '../release/release-rules.ts'
import { registryState } from './release.ts'
import type { AttestedSession } from './sessions.ts'

/**
 * @param session - known by its cookie, which only the guest has: the host sees the token (a guest's status shows it), so a token proves nothing here
 * @param refusal - attacker-controlled: of whatever runs in a guest of the owner's image and workload
 * @throws CloisterError `kbs.token-absent` and `kbs.token` without an attested session; `release.refused` when the guest is none that the owner registered;
 * `broker.busy` when the session has told enough
 */
export function recordGuestRefusal(
  parts: BrokerParts,
  session: AttestedSession | undefined,
  refusal: GuestRefusal,
  requestId: string,
): void {
  if (session === undefined) throw new CloisterError('kbs.token-absent')
  const time = parts.now()
  const attestation = parts.tokens.read(session.token, time)
  if (attestation === undefined) throw new CloisterError('kbs.token')
  const workload = registeredWorkload(parts, attestation)
  if (workload === undefined) throw new CloisterError('release.refused', { requestId })
  if (!parts.sessions.takeReport(session)) throw new CloisterError('broker.busy')
  parts.audit.append({
    time,
    requestId,
    kind: 'guest',
    outcome: 'refused',
    code: refusal.code,
    workload: workload.name,
    revision: workload.revision,
    checks: [{ ...refusal, outcome: 'fail' }],
  })
}

/** The workload that this guest was launched for, when image, workload, instance and anchors are all in force. */
function registeredWorkload(parts: BrokerParts, attestation: AttestationResult) {
  // A TPM holds nothing that was registered before it started.
  if (attestation.anchors === 'tpm') return undefined
  const registry = registryState(parts, attestation)
  return isRegistered({ attestation, registry }) ? registry.workload : undefined
}
