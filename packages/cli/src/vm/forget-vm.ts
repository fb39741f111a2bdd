/**
 * Takes back at the broker what `vm create` registered for a measured VM that is gone, and removes its boot bundle: workload, bundle, secrets. Without its key an
 * encrypted disk is noise, so whoever has copies of the disk can keep the keys.
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { bundleName } from '@cloister/image/boot-bundle/bundle-name'
import type { Directories } from '@cloister/protocol/directories'
import type { BrokerClient } from '../owner/broker-client.ts'
import { vmResources } from './vm-resources.ts'

export interface ForgetOptions {
  readonly directories: Pick<Directories, 'images'>
  readonly broker: Pick<
    BrokerClient,
    | 'workloads'
    | 'withdrawWorkload'
    | 'guestImages'
    | 'withdrawGuestImage'
    | 'secrets'
    | 'removeSecret'
  >
  /** The keys of its disk stay at the broker, where nothing is in force that they would be released to. */
  readonly keepDiskKeys?: boolean
}

/** @returns paths of the secrets that stay */
export async function forgetVm(
  name: string,
  { directories, broker, keepDiskKeys = false }: ForgetOptions,
): Promise<string[]> {
  const revisions = await broker.workloads()
  const isInForce = revisions.some((one) => one.name === name && one.state !== 'withdrawn')
  if (isInForce) await broker.withdrawWorkload(name)
  await withdrawBundle(bundleName(name), broker)
  const { seed, ...diskKeys } = vmResources(name)
  const stored = await storedPaths([...Object.values(diskKeys), seed], broker)
  const kept = keepDiskKeys ? stored.filter((path) => path !== seed) : []
  for (const path of stored) if (!kept.includes(path)) await broker.removeSecret(path)
  await rm(join(directories.images, bundleName(name)), { recursive: true, force: true })
  return kept
}

/** Keys of its disk that the broker holds; none for a disk that is not encrypted. */
export async function diskKeysOf(
  name: string,
  broker: Pick<BrokerClient, 'secrets'>,
): Promise<string[]> {
  const { seed: _seed, ...diskKeys } = vmResources(name)
  return await storedPaths(Object.values(diskKeys), broker)
}

async function withdrawBundle(bundle: string, broker: ForgetOptions['broker']): Promise<void> {
  const current = (await broker.guestImages()).filter(
    ({ name, state }) => name === bundle && state === 'current',
  )
  // One version may be registered in several modes, which are withdrawn together.
  for (const version of new Set(current.map(({ imageVersion }) => imageVersion)))
    await broker.withdrawGuestImage(bundle, version)
}

async function storedPaths(
  paths: readonly string[],
  broker: Pick<BrokerClient, 'secrets'>,
): Promise<string[]> {
  const stored = new Set((await broker.secrets()).map(({ path }) => path))
  return paths.filter((path) => stored.has(path))
}
