/**
 * Whether this home's broker can keep what a VM under its TEE needs: one broker does not hold real secrets and trust a simulated TEE. Asked before a bundle is
 * built and a disk encrypted, which takes minutes.
 */
import { CloisterError } from '@cloister/protocol/error'
import type { BrokerClient } from '../owner/broker-client.ts'
import type { MeasuredTee } from '../workload/choose-tee.ts'

const OTHER_HOME = 'another CLOISTER_HOME, which has a broker of its own'

/**
 * @param vm - `keepsSecrets`: the broker is to get a disk key or what cloud-init is told
 * @throws CloisterError `broker.simulated.secrets`
 */
export async function requireFitBroker(
  { tee, keepsSecrets }: { readonly tee: MeasuredTee; readonly keepsSecrets: boolean },
  broker: Pick<BrokerClient, 'status' | 'secrets'>,
): Promise<void> {
  if (tee === 'simulated') {
    const real = (await broker.secrets()).find(({ allowSimulated }) => !allowSimulated)
    if (real === undefined) return
    throw new CloisterError('broker.simulated.secrets', {
      where: real.path,
      why: 'this broker holds a secret that must not go to a simulated TEE, so it trusts none',
      fix: [`for a VM in simulation: ${OTHER_HOME}`, 'cloister secret ls'],
    })
  }
  if (!keepsSecrets || (await broker.status()).simulatedRoots.length === 0) return
  throw new CloisterError('broker.simulated.secrets', {
    why: 'this broker trusts a simulated TEE, so it does not keep what a real VM needs (the key of its disk, or what its cloud-init is told)',
    fix: [
      `for a real VM: ${OTHER_HOME}`,
      'to try it out, without any protection: the same command with --tee simulated',
    ],
  })
}
