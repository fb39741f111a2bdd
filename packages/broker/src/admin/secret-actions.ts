/** What an owner can do to a secret, with its record in the audit; both ways to the broker use these. */
import { CloisterError } from '@cloister/protocol/error'
import type { AnyReleasePolicy } from '@cloister/protocol/broker-admin-api'
import type { BrokerParts } from '../parts.ts'
import type { NewSecret } from '../storage/secrets.ts'
import { recordAction } from './record-action.ts'

/**
 * @returns the new version
 * @throws CloisterError `broker.simulated.secrets` when the broker trusts a simulated TEE and the secret may not go to one
 */
export function storeSecret(parts: BrokerParts, requestId: string, secret: NewSecret): number {
  // A real secret beside a simulated root is one mistake in a policy away from a TEE that protects nothing (design, rule 4).
  if (!secret.allowSimulated && parts.trust.simulatedRoots().length > 0)
    throw new CloisterError('broker.simulated.secrets', {
      why: 'this broker trusts a simulated TEE, so it takes secrets created with --allow-simulated only',
      fix: [
        'to try it out, without any protection: the same command with --allow-simulated',
        'for a real secret: another CLOISTER_HOME, which has a broker of its own',
      ],
    })
  recordAction(parts, requestId, 'secret.put', secret.path)
  return parts.secrets.put(secret, parts.now())
}

/** @throws CloisterError `broker.not-found` */
export function deleteSecret(parts: BrokerParts, requestId: string, path: string): void {
  recordAction(parts, requestId, 'secret.delete', path)
  if (!parts.secrets.delete(path)) throw new CloisterError('broker.not-found', { where: path })
}

/** @throws CloisterError `broker.not-found` */
export function setReleasePolicy(
  parts: BrokerParts,
  requestId: string,
  { path, policy }: { readonly path: string; readonly policy: AnyReleasePolicy },
): void {
  recordAction(parts, requestId, 'release-policy.put', path)
  if (!parts.secrets.setPolicy(path, policy))
    throw new CloisterError('broker.not-found', { where: path })
}
