/**
 * Where a guest's streams to its broker lead: a matter of the host, beside the initdata, whose keys alone say which broker it takes. So a VM finds a broker that has moved its port since the VM
 * was made.
 */
import type { HostdClient } from '@cloister/hostd/client'
import type { Targets } from '@cloister/protocol/hostd-vm-api'
import type { Invocation } from '../command.ts'
import { brokerAddress, readPinnedBroker, type PinnedBroker } from '../owner/pinned-broker.ts'

/** The one target of a VM with a measured boot. */
export function brokerTargets(pinned: Pick<PinnedBroker, 'url'>): Targets {
  return { broker: { tcp: brokerAddress(pinned) } }
}

/** What `vm start` and `vm restart` hand over. @returns nothing for a VM that no guest of ours opens, and without a broker */
export async function targetsOfNow(
  name: string,
  { vms }: { readonly vms: Pick<HostdClient['vms'], 'get'> },
  { directories, signal }: Pick<Invocation, 'directories' | 'signal'>,
): Promise<Targets> {
  const { boot } = await vms.get(name, { signal })
  const pinned = boot === 'measured' ? readPinnedBroker(directories) : undefined
  return pinned === undefined ? {} : brokerTargets(pinned)
}
