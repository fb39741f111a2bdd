/**
 * Places of workloads that may have only so many instances. Initdata is no secret, so a place goes only to a guest that would get a secret of the workload: of a registered image, and
 * where policies name the workload, by one of them.
 */
import type { Check } from '@cloister/verifier/result/check'
import { measurementOf, type AttestationFindings } from '../attestation/attestation-result.ts'
import { tokenEnd } from '../attestation/ear.ts'
import type { BrokerParts } from '../parts.ts'
import { decideRelease } from '../release/decide-release.ts'
import type { ReleaseContext } from '../release/release-rules.ts'
import { instanceName } from '../storage/instances.ts'
import type { WorkloadRevision } from '../storage/workload-registry.ts'
import { registryState } from './release.ts'

export interface Place {
  /** `none`: its token is good, but it holds no place, and no secret goes to it. */
  readonly held: 'held' | 'none' | 'full'
  readonly check: Check
  /** Undoes it, where what comes after fails. */
  readonly giveBack: () => void
}

/** What a policy in Rego among those of the workload is asked by; its engine is loaded only where there is one. */
export async function regoFor(
  { secrets }: BrokerParts,
  workload: WorkloadRevision | undefined,
): Promise<Pick<ReleaseContext, 'askRego'>> {
  if (workload?.instances === undefined) return {}
  if (secrets.findOf(workload.name).every(({ policy }) => policy?.rego === undefined)) return {}
  const { askReleaseRego } = await import('../release/rego-policy.ts')
  return { askRego: askReleaseRego }
}

/**
 * Counts the instance; nothing may be awaited between this and the record of it.
 *
 * @param token - made for it, and not yet given
 * @param result - what was found of the guest
 * @returns undefined where any number may live, and for images that are not registered
 */
export function takePlace(
  parts: BrokerParts,
  workload: WorkloadRevision | undefined,
  { token, result, context }: PlaceRequest,
): Place | undefined {
  if (workload?.instances === undefined || !isKnownMeasurement(parts, result)) return undefined
  const expected = `${workload.instances} at most`
  const refusal = refusalOfAll(parts, workload, token, context)
  if (refusal !== undefined)
    return {
      held: 'none',
      check: { code: CODE, outcome: 'not-checked', expected, received: `no place: ${refusal}` },
      giveBack: () => {},
    }
  const name = instanceName(result.runtimeData['tee-pubkey'])
  const lifetime = { now: context.now, expiresAt: tokenEnd(context.now) }
  const { admitted, others, giveBack } = parts.instances.admit(workload, name, lifetime)
  const received = others.length === 0 ? name : `${name} beside ${others.join(', ')}`
  const outcome = admitted ? 'pass' : 'fail'
  return {
    held: admitted ? 'held' : 'full',
    check: { code: CODE, outcome, expected, received },
    giveBack,
  }
}

const CODE = 'attestation.instances'

export interface PlaceRequest {
  readonly token: string
  readonly result: AttestationFindings
  readonly context: ReleaseContext
}

export function isKnownMeasurement(
  { referenceValues }: BrokerParts,
  result: AttestationFindings,
): boolean {
  return (
    result.anchors !== 'tpm' &&
    referenceValues.find(result.anchors, measurementOf(result)).some(({ withdrawn }) => !withdrawn)
  )
}

/** Why no secret of the workload would go to the guest: the first one's first failed check. Undefined when one would go, and when no policy names the workload. */
function refusalOfAll(
  parts: BrokerParts,
  { name }: WorkloadRevision,
  token: string,
  context: ReleaseContext,
): string | undefined {
  const secrets = parts.secrets.findOf(name)
  if (secrets.length === 0) return undefined
  const attestation = parts.tokens.read(token, context.now)
  if (attestation === undefined) return 'release.token-expired'
  const registry = { ...registryState(parts, attestation), isLiveInstance: true }
  let first: string | undefined
  for (const secret of secrets) {
    const { allow, checks } = decideRelease(secret, attestation, registry, context)
    if (allow) return undefined
    const failed = checks.find(({ outcome }) => outcome === 'fail')
    first ??= `${failed?.code} of ${secret.path}`
  }
  return first
}
