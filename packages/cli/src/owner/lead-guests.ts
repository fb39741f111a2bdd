/** Guests reach their broker through hostd, at the address of their start: when this home's broker has moved, hostd is told. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Directories } from '@cloister/protocol/directories'
import { brokerAddress, type PinnedBroker } from './pinned-broker.ts'

export interface BrokerMove {
  readonly from: Pick<PinnedBroker, 'url'>
  readonly to: Pick<PinnedBroker, 'url'>
}

/**
 * Starts hostd when this home has guests and none answers.
 *
 * @returns names of those that are led to the new address
 * @throws CloisterError `hostd.*`
 */
export async function leadGuests(
  directories: Directories,
  { from, to }: BrokerMove,
  signal: AbortSignal,
): Promise<string[]> {
  const folders = ['workloads', 'machines'].map((kind) => join(directories.hostd, kind))
  const found = await Promise.all(folders.map((folder) => readdir(folder).catch(() => [])))
  if (found.flat().length === 0) return []
  const { ensureHostd } = await import('@cloister/hostd/ensure')
  const hostd = await ensureHostd(directories, { signal })
  const move = { name: 'broker', from: brokerAddress(from), to: brokerAddress(to) }
  return await hostd.moveTarget(move, { signal })
}
