/**
 * An entry of the broker's audit as it is a leaf of the log's Merkle tree: JSON text. What is hashed is that text, byte for byte, so that whoever checks
 * a hash needs no second encoder.
 */
import {
  AuditContentSchema,
  type AuditContent,
  type AuditEntry,
  type AuditLeaf,
} from './broker-admin-api.ts'
import { CloisterError } from './error.ts'
import { leafHash } from './tlog/merkle.ts'
import { MAX_ENTRY_BYTES } from './tlog/tiles.ts'

/** What is kept of a text in a check when the whole entry would be too long, characters. */
const SHORT_TEXT = 256

/** Beginnings of subjects by which the log tells of itself. */
export const LOG_EVENT = {
  /** The entries before this position were taken out; their hashes stay. */
  prune: 'audit.prune',
  /** The log goes on from a chain of hashes, whose last number and hash follow. */
  chain: 'audit.chain',
} as const

/** The text of an entry; one that would not fit keeps its codes and outcomes, and of its texts the beginning. */
export function auditLeaf(content: AuditContent): string {
  const whole = encode(content)
  if (fits(whole)) return whole
  const short = content.checks.map(({ expected, received, ...check }) => ({
    ...check,
    ...(expected !== undefined && { expected: cut(expected) }),
    ...(received !== undefined && { received: cut(received) }),
  }))
  const shortened = encode({ ...content, checks: short })
  if (fits(shortened)) return shortened
  const checks = content.checks.map(({ code, outcome }) => ({ code, outcome }))
  return encode({ ...content, checks })
}

/** @param leaf - of the broker; not checked against anything here. @throws CloisterError `owner.broker-answer-malformed` */
export function readAuditLeaf({ index, leaf }: AuditLeaf): AuditEntry {
  const hash = Buffer.from(leafHash(leaf)).toString('hex')
  try {
    return { index, ...AuditContentSchema.parse(JSON.parse(leaf)), hash }
  } catch (cause) {
    throw new CloisterError('owner.broker-answer-malformed', {
      where: `audit entry ${index}`,
      cause,
    })
  }
}

/** The position before which entries were taken out, as an entry tells it; undefined when it tells no such thing. */
export function prunedBefore({ kind, subject = '' }: AuditContent): number | undefined {
  const match = /^audit\.prune (\d{1,15})$/.exec(subject)
  return kind === 'admin' && match !== null ? Number(match[1]) : undefined
}

function encode(content: AuditContent): string {
  const { time, requestId, kind, outcome, code, workload, revision, subject, checks } = content
  return JSON.stringify({
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
  })
}

const fits = (text: string): boolean => Buffer.byteLength(text) <= MAX_ENTRY_BYTES
const cut = (text: string): string =>
  text.length > SHORT_TEXT ? `${text.slice(0, SHORT_TEXT)}…` : text
