/**
 * The release decision (design, rule 2): may this secret go to this Attester now? Pure, evaluated with the current policy
 * and registry at each request. Every check runs and is recorded; one that fails denies.
 */
import type { AttestationResult } from '../attestation/attestation-result.ts'
import type { Secret } from '../storage/secrets.ts'
import type { ReleaseCheckCode } from '@cloister/protocol/errors/broker'
import {
  SNP_RULES,
  type RegistryState,
  type ReleaseCheck,
  type ReleaseContext,
} from './release-rules.ts'
import { TDX_RULES } from './tdx-rules.ts'
import { levelSuffices, TPM_RELEASE_RULES } from './tpm-rules.ts'

export interface ReleaseDecision {
  readonly allow: boolean
  /** In a fixed order; never empty. */
  readonly checks: readonly ReleaseCheck[]
}

/**
 * @param secret - absent: there is none under the path
 * @returns `allow` only when there is a secret with a policy and every check passed
 */
export function decideRelease(
  secret: Secret | undefined,
  attestation: AttestationResult,
  registry: RegistryState,
  context: ReleaseContext,
): ReleaseDecision {
  if (secret === undefined) return denied('release.secret-unknown')
  const { policy } = secret
  if (policy === undefined) return denied('release.policy-absent')
  if (attestation.anchors === 'tpm') {
    if (!levelSuffices(secret, policy))
      return denied('release.tpm.level', { expected: 'a TEE', received: attestation.claims.level })
    const { tpmAnchors } = registry
    const request = { secret, policy, attestation, tpmAnchors, ...context }
    return decided(TPM_RELEASE_RULES.flatMap((rule) => rule(request) ?? []))
  }
  if (policy.kind === 'tpm')
    return denied('release.anchors', { expected: 'tpm', received: attestation.anchors })
  const asked = { secret, policy, registry, ...context }
  if (attestation.anchors === 'intel') {
    const request = { ...asked, attestation }
    return decided(TDX_RULES.flatMap((rule) => rule(request) ?? []))
  }
  const request = { ...asked, attestation }
  return decided(SNP_RULES.flatMap((rule) => rule(request) ?? []))
}

function decided(checks: readonly ReleaseCheck[]): ReleaseDecision {
  return { allow: checks.every(({ outcome }) => outcome === 'pass'), checks }
}

function denied(
  code: ReleaseCheckCode,
  details: Pick<ReleaseCheck, 'expected' | 'received'> = {},
): ReleaseDecision {
  return { allow: false, checks: [{ code, outcome: 'fail', ...details }] }
}
