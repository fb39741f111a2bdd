/** Takes back at the broker what belongs to a measured VM that is gone, and removes its boot bundle. Without its key an encrypted disk is noise. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { bundleName } from '@cloister/image/boot-bundle/bundle-name'
import type { Directories } from '@cloister/protocol/directories'
import type { BrokerClient } from '../owner/broker-client.ts'
import { vmResources } from './vm-resources.ts'

export async function forgetVm(
  name: string,
  directories: Directories,
  broker: BrokerClient,
): Promise<void> {
  const revisions = await broker.workloads()
  const isInForce = revisions.some((one) => one.name === name && one.state !== 'withdrawn')
  if (isInForce) await broker.withdrawWorkload(name)
  const stored = new Set((await broker.secrets()).map(({ path }) => path))
  for (const path of Object.values(vmResources(name)) as string[])
    if (stored.has(path)) await broker.removeSecret(path)
  await rm(join(directories.images, bundleName(name)), { recursive: true, force: true })
}
