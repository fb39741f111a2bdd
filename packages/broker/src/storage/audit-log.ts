/**
 * The append-only record of every decision with its checks. Each entry's hash covers the one before it, so that an entry
 * that was changed or taken out shows; triggers of the database refuse both.
 */
import { createHash } from 'node:crypto'
import { AuditEntrySchema, type AuditEntry } from '@cloister/protocol/broker-admin-api'
import { count, type Database, type Durability } from './database.ts'

/** An entry before it has its place in the chain. */
export type NewAuditEntry = Omit<AuditEntry, 'sequence' | 'previousHash' | 'hash'>

export interface AuditQuery {
  readonly requestId?: string | undefined
  readonly workload?: string | undefined
  readonly limit: number
}

const GENESIS = '0'.repeat(64)

export class AuditLog {
  readonly #database: Database
  readonly #insert
  #sequence: number
  #hash: string

  constructor(database: Database) {
    this.#database = database
    this.#insert = database.prepare(
      'INSERT INTO audit (sequence, time, request_id, workload, entry, hash) VALUES (?, ?, ?, ?, ?, ?)',
    )
    const last = database
      .prepare('SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1')
      .get()
    this.#sequence = Number(last?.['sequence'] ?? 0)
    this.#hash = String(last?.['hash'] ?? GENESIS)
  }

  /** Writes the entry before the decision takes effect: what is not recorded does not happen. */
  append(entry: NewAuditEntry, durability: Durability = 'ordered'): void {
    const sequence = this.#sequence + 1
    const text = entryText({ ...entry, sequence, previousHash: this.#hash })
    const hash = sha256(text)
    const { time, requestId, workload = null } = entry
    this.#database.write(durability, () =>
      this.#insert.run(sequence, time, requestId, workload, text, hash),
    )
    this.#sequence = sequence
    this.#hash = hash
  }

  count(): number {
    return count(this.#database, 'SELECT count(*) AS n FROM audit')
  }

  /** Newest first. */
  find({ requestId, workload, limit }: AuditQuery): readonly AuditEntry[] {
    const filters = { request_id: requestId, workload }
    const given = Object.entries(filters).filter(([, value]) => value !== undefined)
    const where = ['TRUE', ...given.map(([column]) => `${column} = ?`)].join(' AND ')
    return this.#database
      .prepare(`SELECT entry, hash FROM audit WHERE ${where} ORDER BY sequence DESC LIMIT ?`)
      .all(...given.map(([, value]) => String(value)), limit)
      .map(readEntry)
  }
}

/**
 * Whether entries, oldest first and without gaps, form a chain.
 *
 * @param previousHash - of the entry before the first; absent: the log's beginning
 */
export function isAuditChain(entries: readonly AuditEntry[], previousHash = GENESIS): boolean {
  let expected = previousHash
  let sequence = entries[0]?.sequence ?? 0
  for (const { hash, ...entry } of entries) {
    if (entry.previousHash !== expected || entry.sequence !== sequence) return false
    if (sha256(entryText(entry)) !== hash) return false
    expected = hash
    sequence += 1
  }
  return true
}

/** What is hashed: the entry as JSON, members in the order of its schema, without `hash`. */
function entryText(entry: Omit<AuditEntry, 'hash'>): string {
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

function readEntry(row: Record<string, unknown>): AuditEntry {
  return AuditEntrySchema.parse({ ...JSON.parse(String(row['entry'])), hash: row['hash'] })
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')
