/**
 * The append-only record of every decision with its checks. Each entry's hash covers the one before it, so that an entry
 * that was changed or taken out shows; triggers of the database refuse both.
 */
import { createHash } from 'node:crypto'
import { AuditEntrySchema, type AuditEntry } from '@cloister/protocol/broker-admin-api'
import { canonicalJson, type JsonValue } from '@cloister/protocol/jcs'
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
  append(entry: NewAuditEntry, durability: Durability = 'ordered'): AuditEntry {
    const chained = { ...entry, sequence: this.#sequence + 1, previousHash: this.#hash }
    const complete = { ...chained, hash: entryHash(chained) }
    this.#database.write(durability, () =>
      this.#insert.run(
        complete.sequence,
        complete.time,
        complete.requestId,
        complete.workload ?? null,
        JSON.stringify(complete),
        complete.hash,
      ),
    )
    this.#sequence = complete.sequence
    this.#hash = complete.hash
    return complete
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
      .prepare(`SELECT entry FROM audit WHERE ${where} ORDER BY sequence DESC LIMIT ?`)
      .all(...given.map(([, value]) => String(value)), limit)
      .map((row) => AuditEntrySchema.parse(JSON.parse(String(row['entry']))))
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
    if (entryHash(entry) !== hash) return false
    expected = hash
    sequence += 1
  }
  return true
}

function entryHash(entry: Omit<AuditEntry, 'hash'>): string {
  // Through JSON, for what is absent and what is undefined are one in the stored text.
  const stored = JSON.parse(JSON.stringify(entry)) as JsonValue
  return createHash('sha256').update(canonicalJson(stored)).digest('hex')
}
