/** The broker's audit log as the owner may believe it: signed by the log's key, and going on from the checkpoint that was seen last. */
import type { AuditLeaf } from '@cloister/protocol/broker-admin-api'
import type { Directories } from '@cloister/protocol/directories'
import { CloisterError } from '@cloister/protocol/error'
import { openCheckpoint, parseLogKey, type LogKey } from '@cloister/protocol/tlog/checkpoint'
import {
  consistencyRanges,
  inclusionRanges,
  isConsistent,
  isIncluded,
  leafHash,
  type TreeHead,
} from '@cloister/protocol/tlog/merkle'
import type { BrokerClient } from '../owner/broker-client.ts'
import { LogTiles } from './log-tiles.ts'
import { readSeenLog, seenLogFile, type SeenLog } from './seen-log.ts'

/** A checkpoint whose signature was checked. */
export interface SignedHead extends TreeHead {
  readonly checkpoint: string
}

export interface OpenLog {
  readonly origin: string
  readonly key: string
  readonly head: SignedHead
  /** Undefined when this log is seen for the first time. */
  readonly seen: (TreeHead & { readonly seenAt: number }) | undefined
  readonly tiles: LogTiles
}

export interface OpenLogOptions {
  readonly directories: Directories
  readonly broker: BrokerClient
  readonly signal: AbortSignal
  /** Forgets what was seen, as after a restored backup. */
  readonly isNew: boolean
}

/** @throws CloisterError `broker.audit-broken` when key or signature are not the log's */
export async function openLog({
  directories,
  broker,
  signal,
  isNew,
}: OpenLogOptions): Promise<OpenLog> {
  const seenLog = isNew ? undefined : readSeenLog(directories)
  const { auditKey } = await broker.status()
  if (seenLog !== undefined && seenLog.key !== auditKey)
    throw auditBroken('it is signed by another key than before', {
      expected: seenLog.key,
      received: auditKey,
    })
  const log = parseLogKey(auditKey)
  if (log === undefined)
    throw new CloisterError('owner.broker-answer-malformed', { where: 'status.auditKey' })
  const checkpoint = await broker.auditCheckpoint()
  const head = openCheckpoint(checkpoint, log)
  if (head === undefined) throw auditBroken("its checkpoint is not signed by the log's key")
  const seen = seenLog && { ...headSeen(directories, seenLog, log), seenAt: seenLog.seenAt }
  if (seen !== undefined && head.size < seen.size)
    throw auditBroken(`entry ${head.size} and those after it are gone`, {
      expected: `${seen.size} entries or more`,
      received: `${head.size} entries`,
    })
  const tiles = new LogTiles(broker, head.size, signal)
  return { origin: log.origin, key: auditKey, head: { ...head, checkpoint }, seen, tiles }
}

function headSeen(directories: Directories, { checkpoint }: SeenLog, log: LogKey): TreeHead {
  const head = openCheckpoint(checkpoint, log)
  if (head !== undefined) return head
  throw new CloisterError('owner.pin-unreadable', { where: seenLogFile(directories) })
}

/** @throws CloisterError `broker.audit-broken` when the log does not begin with all that was seen of it */
export async function assertGoesOn({ head, seen, tiles }: OpenLog): Promise<void> {
  if (seen === undefined) return
  const isProofNeeded = seen.size > 0 && seen.size < head.size
  const ranges = isProofNeeded ? consistencyRanges(seen.size, head.size) : []
  if (isConsistent(seen, head, await tiles.rangeHashes(ranges))) return
  throw auditBroken(`it does not go on from the ${seen.size} entries that were seen before`)
}

/** @throws CloisterError `broker.audit-broken` when one is not in the log at its place */
export async function assertIncluded(
  { head, tiles }: OpenLog,
  entries: readonly AuditLeaf[],
): Promise<void> {
  for (const { index, leaf } of entries) {
    const path = await tiles.rangeHashes(inclusionRanges(index, head.size))
    const proof = { index, size: head.size, leaf: leafHash(leaf), path, root: head.root }
    if (!isIncluded(proof)) throw auditBroken(`entry ${index} is not in the signed log`)
  }
}

export function auditBroken(
  why: string,
  details: { readonly expected?: string; readonly received?: string } = {},
): CloisterError {
  return new CloisterError('broker.audit-broken', { why, ...details })
}
