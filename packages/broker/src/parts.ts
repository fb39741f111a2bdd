/** What the two sides of the broker, the guests' and the owner's, work with. */
import type { AppraiseEvidence } from './attestation/appraise-evidence.ts'
import type { IssuedTokens } from './attestation/issued-tokens.ts'
import type { BodyReader } from './http/body.ts'
import type { Metrics } from './http/metrics.ts'
import type { Sessions } from './kbs/sessions.ts'
import type { BrokerLimits } from './limits.ts'
import type { AuditLog } from './storage/audit-log.ts'
import type { Instances } from './storage/instances.ts'
import type { ReferenceValueStore } from './storage/reference-values.ts'
import type { SecretStore } from './storage/secrets.ts'
import type { StrangerEntries } from './storage/stranger-entries.ts'
import type { TrustSettings } from './storage/trust-settings.ts'
import type { WorkloadRegistry } from './storage/workload-registry.ts'
import type { AttestationAuthority } from './tpm/attestation-authority.ts'
import type { Enrolments } from './tpm/enrolments.ts'

export interface BrokerParts {
  readonly version: string
  readonly limits: BrokerLimits
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly secrets: SecretStore
  readonly workloads: WorkloadRegistry
  readonly referenceValues: ReferenceValueStore
  readonly trust: TrustSettings
  readonly audit: AuditLog
  /** The audit, for what anybody on the network can cause. */
  readonly strangers: StrangerEntries
  readonly instances: Instances
  readonly sessions: Sessions
  /** Of TPMs: activations under way, and who certifies what came of them. */
  readonly enrolments: Enrolments
  readonly attestationAuthority: AttestationAuthority
  readonly tokens: IssuedTokens
  /** Certificate of the key that signs tokens, PEM. */
  readonly tokenSigner: string
  readonly appraiseEvidence: AppraiseEvidence
  readonly bodies: BodyReader
  readonly metrics: Metrics
  /** Told of what should not have happened; never of a refusal. */
  readonly onBug: (error: unknown) => void
}
