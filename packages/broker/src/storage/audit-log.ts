/**
 * The append-only record of every decision with its checks. Each entry's hash covers the one before it, so that an entry
 * that was changed or taken out shows; triggers of the database refuse both. It has a bound: beyond it the oldest entries go, all up to one of them,
 * and an entry that stays tells it.
 */
import { randomBytes } from 'node:crypto'
import { AUDIT_GENESIS, auditHash, auditText, cutSubject } from '@cloister/protocol/audit-chain'
import { AuditEntrySchema, type AuditEntry } from '@cloister/protocol/broker-admin-api'
import { count, type Database, type Durability } from './database.ts'

/** An entry before it has its place in the chain. */
export type NewAuditEntry = Omit<AuditEntry, 'sequence' | 'previousHash' | 'hash'>

export interface AuditQuery {
  readonly requestId?: string | undefined
  readonly workload?: string | undefined
  /** Only entries with a smaller number. */
  readonly before?: number | undefined
  readonly limit: number
}

/** What stays of the bound when it was reached, so that cuts are seldom. */
const KEPT_SHARE = 0.75

export class AuditLog {
  readonly #database: Database
  readonly #insert
  readonly #limitBytes: number
  #sequence: number
  #hash: string
  /** Of the texts that are kept. */
  #bytes: number

  /** @param limitBytes of the entries' texts; the file is somewhat larger */
  constructor(database: Database, limitBytes: number) {
    this.#database = database
    this.#limitBytes = limitBytes
    this.#insert = database.prepare(
      'INSERT INTO audit (sequence, time, request_id, workload, entry, hash) VALUES (?, ?, ?, ?, ?, ?)',
    )
    const last = database
      .prepare('SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1')
      .get()
    this.#sequence = Number(last?.['sequence'] ?? 0)
    this.#hash = String(last?.['hash'] ?? AUDIT_GENESIS)
    this.#bytes = count(database, 'SELECT coalesce(sum(octet_length(entry)), 0) AS n FROM audit')
  }

  /** Writes the entry before the decision takes effect: what is not recorded does not happen. */
  append(entry: NewAuditEntry, durability: Durability = 'ordered'): void {
    this.#write(entry, durability)
    if (this.#bytes > this.#limitBytes) this.#cut(entry.time)
  }

  /** @param after - runs in the transaction of the entry */
  #write(entry: NewAuditEntry, durability: Durability, after?: () => void): void {
    const sequence = this.#sequence + 1
    const text = auditText({ ...entry, sequence, previousHash: this.#hash })
    const hash = auditHash(text)
    const { time, requestId, workload = null } = entry
    this.#database.write(durability, () => {
      this.#insert.run(sequence, time, requestId, workload, text, hash)
      after?.()
    })
    this.#sequence = sequence
    this.#hash = hash
    this.#bytes += Buffer.byteLength(text)
  }

  /** Takes out the oldest entries and says so in one that stays: their last hash is where the rest of the chain begins. */
  #cut(time: number): void {
    const last = this.#lastToGo()
    if (last === undefined) return
    const entry: NewAuditEntry = {
      time,
      requestId: randomBytes(16).toString('hex'),
      kind: 'admin',
      outcome: 'allowed',
      subject: cutSubject(last.sequence, last.hash),
      checks: [],
    }
    this.#write(entry, 'durable', () => {
      this.#database.prepare('INSERT INTO audit_cuts (up_to) VALUES (?)').run(last.sequence)
      this.#database.prepare('DELETE FROM audit WHERE sequence <= ?').run(last.sequence)
    })
    this.#bytes -= last.bytes
  }

  #lastToGo(): { sequence: number; hash: string; bytes: number } | undefined {
    const surplus = this.#bytes - this.#limitBytes * KEPT_SHARE
    const rows = this.#database
      .prepare('SELECT sequence, hash, octet_length(entry) AS size FROM audit ORDER BY sequence')
      .iterate()
    let bytes = 0
    for (const { sequence, hash, size } of rows) {
      bytes += Number(size)
      if (bytes >= surplus && Number(sequence) < this.#sequence)
        return { sequence: Number(sequence), hash: String(hash), bytes }
    }
    return undefined
  }

  count(): number {
    return count(this.#database, 'SELECT count(*) AS n FROM audit')
  }

  /** Newest first. */
  find({ requestId, workload, before, limit }: AuditQuery): readonly AuditEntry[] {
    const filters = {
      'request_id = ?': requestId,
      'workload = ?': workload,
      'sequence < ?': before,
    }
    const given = Object.entries(filters).filter(([, value]) => value !== undefined)
    const where = ['TRUE', ...given.map(([filter]) => filter)].join(' AND ')
    return this.#database
      .prepare(`SELECT entry, hash FROM audit WHERE ${where} ORDER BY sequence DESC LIMIT ?`)
      .all(...given.map(([, value]) => value as string | number), limit)
      .map(readEntry)
  }
}

function readEntry(row: Record<string, unknown>): AuditEntry {
  return AuditEntrySchema.parse({ ...JSON.parse(String(row['entry'])), hash: row['hash'] })
}
