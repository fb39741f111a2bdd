/** The rules of a release to a VM whose TPM its host runs. They come before any policy where a secret must be kept from the host. */
import {
  DISK_KEY_TYPE,
  type AnyReleasePolicy,
  type TpmReleasePolicy,
} from '@cloister/protocol/broker-admin-api'
import type { TpmResult } from '../attestation/attestation-result.ts'
import type { Secret } from '../storage/secrets.ts'
import {
  check,
  keyIsBound,
  regoAllows,
  tokenInTime,
  type ReleaseCheck,
  type ReleaseContext,
} from './release-rules.ts'

export interface TpmReleaseRequest extends ReleaseContext {
  readonly secret: Secret
  readonly policy: TpmReleasePolicy
  readonly attestation: TpmResult
  /** Fingerprints of the CAs of EK certificates that are pinned now. */
  readonly tpmAnchors: readonly string[]
}

export const TPM_RELEASE_RULES: readonly ((
  request: TpmReleaseRequest,
) => ReleaseCheck | readonly ReleaseCheck[] | undefined)[] = [
  tokenInTime,
  keyIsBound,
  anchorPinned,
  machineListed,
  secureBootShown,
  pcrsAccepted,
  regoAllows,
]

/**
 * Whether a TPM that the host runs may have the secret at all: no policy that was written for a TEE means one, and no policy gives a disk's key to the
 * host that holds the disk.
 */
export function levelSuffices(
  { path }: Secret,
  policy: AnyReleasePolicy,
): policy is TpmReleasePolicy {
  const [, type] = path.split('/')
  return policy.kind === 'tpm' && type !== DISK_KEY_TYPE
}

function anchorPinned({ attestation, tpmAnchors }: TpmReleaseRequest): ReleaseCheck {
  const received = attestation.claims.endorsement_anchor
  return check('release.tpm.anchor', tpmAnchors.includes(received), { received })
}

function machineListed({ policy, attestation }: TpmReleaseRequest): ReleaseCheck {
  const received = attestation.claims.endorsement_key
  return check('release.tpm.endorsement-key', policy.endorsementKeys.includes(received), {
    expected: policy.endorsementKeys.join(' or '),
    received,
  })
}

function secureBootShown({ policy, attestation }: TpmReleaseRequest): ReleaseCheck | undefined {
  if (!policy.requireSecureBoot) return undefined
  const shown = attestation.claims.secure_boot
  return check('release.tpm.secure-boot', shown === true, {
    expected: 'on',
    received: shown === null ? 'no event log that adds up' : shown ? 'on' : 'off',
  })
}

function pcrsAccepted({ policy, attestation }: TpmReleaseRequest): readonly ReleaseCheck[] {
  const pcrs = attestation.claims.pcrs
  return Object.entries(policy.pcrs).map(([name, accepted = []]) => {
    const received = pcrs[name]
    return check('release.tpm.pcr', received !== undefined && accepted.includes(received), {
      expected: `${name} ${accepted.join(' or ')}`,
      received: `${name} ${received ?? 'not quoted'}`,
    })
  })
}
