/**
 * The hash chain of the broker's audit: each entry's hash covers its text and the hash before it, so that an entry that was changed, taken out or put
 * in shows to whoever has noted a later hash. Old entries may be cut off as a whole; then an entry that stays names the last hash of those.
 */
import { createHash } from 'node:crypto'
import type { AuditEntry } from './broker-admin-api.ts'

/** Hash before the first entry of a log. */
export const AUDIT_GENESIS = '0'.repeat(64)

/** Beginning of the subject of an entry that tells of a cut; the number of the last entry that went and its hash follow. */
const CUT = 'audit.cut'

export function cutSubject(upTo: number, hash: string): string {
  return `${CUT} ${upTo} ${hash}`
}

/**
 * Whether entries, oldest first and without gaps, form a chain.
 *
 * @param previousHash - of the entry before the first; absent: the log's beginning
 */
export function isAuditChain(
  entries: readonly AuditEntry[],
  previousHash: string = AUDIT_GENESIS,
): boolean {
  let expected = previousHash
  let sequence = entries[0]?.sequence ?? 0
  for (const { hash, ...entry } of entries) {
    if (entry.previousHash !== expected || entry.sequence !== sequence) return false
    if (auditHash(auditText(entry)) !== hash) return false
    expected = hash
    sequence += 1
  }
  return true
}

export type AuditVerdict =
  | { readonly holds: true; readonly cut: boolean }
  | { readonly holds: false; readonly why: string }

/**
 * Judges a whole log: its chain, its beginning or the cut that stands for it, and whether it goes on from what the owner saw before.
 *
 * @param entries - oldest first, all that the broker has
 * @param seen - hashes that the owner noted of earlier states; each must still be there or lie before an admitted cut
 */
export function judgeAudit(entries: readonly AuditEntry[], seen?: string): AuditVerdict {
  const [first] = entries
  if (first === undefined)
    return seen === undefined ? { holds: true, cut: false } : { holds: false, why: 'it is empty' }
  const isWhole = first.sequence === 1
  if (!isAuditChain(entries, isWhole ? AUDIT_GENESIS : first.previousHash))
    return { holds: false, why: 'an entry was changed, taken out or put in' }
  const admitted = cutSubject(first.sequence - 1, first.previousHash)
  if (!isWhole && !entries.some(({ kind, subject }) => kind === 'admin' && subject === admitted))
    return { holds: false, why: `nothing tells of a cut before entry ${first.sequence}` }
  const isKnown = (hash: string) =>
    hash === first.previousHash || entries.some((entry) => entry.hash === hash)
  if (seen !== undefined && !isKnown(seen))
    return { holds: false, why: 'the hash that was noted is not in it' }
  return { holds: true, cut: !isWhole }
}

/** What is hashed: the entry as JSON, members in the order of its schema, without `hash`. */
export function auditText(entry: Omit<AuditEntry, 'hash'>): string {
  const { sequence, time, requestId, kind, outcome, code, workload, revision, subject } = entry
  const { checks, previousHash } = entry
  return JSON.stringify({
    sequence,
    time,
    requestId,
    kind,
    outcome,
    code,
    workload,
    revision,
    subject,
    checks: checks.map(({ code, outcome, expected, received, where }) => ({
      code,
      outcome,
      expected,
      received,
      where,
    })),
    previousHash,
  })
}

export const auditHash = (text: string): string => createHash('sha256').update(text).digest('hex')
