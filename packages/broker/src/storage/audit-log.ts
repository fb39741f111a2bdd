/**
 * The append-only record of every decision with its checks: a transparency log, whose entries are leaves of a Merkle tree (RFC 6962, C2SP tlog-tiles).
 * Entries go into a journal first, and from there into the table, many in one transaction and in it the tiles that they fill; the tree's edge is in memory and follows from them;
 * checkpoints are signed when somebody asks.
 * It has a bound: beyond it the oldest bundles of entries go, their hashes stay, and an entry tells it.
 */
import { auditLeaf, LOG_EVENT } from '@cloister/protocol/audit-entry'
import type { AuditContent, AuditLeaf } from '@cloister/protocol/broker-admin-api'
import { CloisterError } from '@cloister/protocol/error'
import { encodeLogKey, logKey, signCheckpoint } from '@cloister/protocol/tlog/checkpoint'
import { leafHash } from '@cloister/protocol/tlog/merkle'
import { encodeBundle, TILE_WIDTH, type TileName } from '@cloister/protocol/tlog/tiles'
import { newRequestId } from '../request-id.ts'
import { RESTORE, type AuditJournal } from './audit-journal.ts'
import type { AuditKey } from './audit-key.ts'
import { count, type Database, type Durability } from './database.ts'
import { TreeEdge, type FullTile } from './tree-edge.ts'

export interface AuditQuery {
  readonly requestId?: string | undefined
  readonly workload?: string | undefined
  /** Only entries with a smaller index. */
  readonly before?: number | undefined
  readonly limit: number
}

/** What stays of the bound when it was reached, so that cuts are seldom. */
const KEPT_SHARE = 0.75

/** What the table has of an entry beside its text. */
interface Row {
  readonly index: number
  readonly time: number
  readonly requestId: string
  readonly workload: string | null
}

export interface AuditLogOptions {
  readonly key: AuditKey
  readonly journal: AuditJournal
  /** Of the entries' texts; the files are somewhat larger. */
  readonly limitBytes: number
}

export class AuditLog {
  readonly #database: Database
  readonly #key: AuditKey
  readonly #journal: AuditJournal
  readonly #insert
  readonly #insertTile
  readonly #tree: TreeEdge
  readonly #limitBytes: number
  /** In the journal and not in the table yet, oldest first. */
  #waiting: Row[] = []
  /** Of the texts that are kept. */
  #bytes: number
  #checkpoint: { readonly size: number; readonly note: string } | undefined

  /** @throws CloisterError `broker.storage` when the log does not go on from the checkpoint that it signed last, or the journal not from the log */
  constructor(database: Database, { key, journal, limitBytes }: AuditLogOptions) {
    this.#database = database
    this.#key = key
    this.#journal = journal
    this.#limitBytes = limitBytes
    this.#insert = database.prepare(
      'INSERT INTO audit_entries (position, time, request_id, workload, entry) VALUES (?, ?, ?, ?, ?)',
    )
    this.#insertTile = database.prepare(
      'INSERT INTO audit_tiles (level, number, hashes) VALUES (?, ?, ?)',
    )
    const findTile = database.prepare(
      'SELECT hashes FROM audit_tiles WHERE level = ? AND number = ?',
    )
    this.#tree = new TreeEdge(
      (level, number) => findTile.get(level, number)?.['hashes'] as Uint8Array | undefined,
    )
    this.#restore()
    this.#assertGoesOn()
    this.#bytes = count(
      database,
      'SELECT coalesce(sum(octet_length(entry)), 0) AS n FROM audit_entries',
    )
  }

  /** The key of its checkpoints, in the form of signed notes. */
  get publicKey(): string {
    return encodeLogKey(logKey(this.#key.origin, this.#key.key))
  }

  /** Writes the entry before the decision takes effect: what is not recorded does not happen. */
  append(entry: AuditContent, durability: Durability = 'ordered'): void {
    this.#write(entry, durability)
    if (this.#bytes > this.#limitBytes) this.#prune(entry.time)
  }

  /** @param alongside - runs in the transaction of the entry */
  #write(content: AuditContent, durability: Durability, alongside?: () => void): void {
    const leaf = auditLeaf(content)
    const hash = leafHash(leaf)
    const growth = this.#tree.growth(hash)
    const row = rowOf(this.#tree.size, content)
    const mayWait = durability === 'ordered' && alongside === undefined && growth.full.length === 0
    if (mayWait && this.#journal.hasRoomFor(leaf)) {
      this.#journal.append(row.index, leaf, hash)
      this.#waiting.push(row)
    } else
      this.settle(() => {
        this.#insertRow(row, leaf)
        this.#store(growth.full)
        alongside?.()
      })
    this.#tree.grow(growth)
    this.#bytes += Buffer.byteLength(leaf)
  }

  /**
   * Moves what waits in the journal into the table. Synced before it leaves the journal, so that no loss of power takes entries from the middle.
   *
   * @param alongside - runs in the same transaction, after it
   */
  settle(alongside?: () => void): void {
    this.#database.write('durable', () => {
      for (const [n, row] of this.#waiting.entries()) this.#insertRow(row, this.#journal.leaf(n))
      alongside?.()
    })
    this.#waiting = []
    this.#journal.clear()
  }

  #insertRow({ index, time, requestId, workload }: Row, leaf: string): void {
    this.#insert.run(index, time, requestId, workload, leaf)
  }

  /** Takes out the oldest entries, in whole bundles, and says so in one that stays. */
  #prune(time: number): void {
    const surplus = this.#oldestSurplus()
    if (surplus === undefined) return
    const { before, bytes } = surplus
    this.#write(ownEntry(time, `${LOG_EVENT.prune} ${before}`), 'durable', () => {
      this.#database.prepare('INSERT INTO audit_pruned (before) VALUES (?)').run(before)
      this.#database.prepare('DELETE FROM audit_entries WHERE position < ?').run(before)
    })
    this.#bytes -= bytes
  }

  /** Undefined when no whole bundle is older than the one being filled. */
  #oldestSurplus(): { readonly before: number; readonly bytes: number } | undefined {
    const surplus = this.#bytes - this.#limitBytes * KEPT_SHARE
    const rows = this.#database
      .prepare('SELECT position, octet_length(entry) AS size FROM audit_entries ORDER BY position')
      .iterate()
    const last = this.#tree.size - (this.#tree.size % TILE_WIDTH)
    let found: { before: number; bytes: number } | undefined
    let bytes = 0
    for (const { position, size } of rows) {
      bytes += Number(size)
      const before = Number(position) + 1
      if (before > last) break
      if (before % TILE_WIDTH !== 0) continue
      found = { before, bytes }
      if (bytes >= surplus) break
    }
    return found
  }

  count(): number {
    const inTable = count(this.#database, 'SELECT count(*) AS n FROM audit_entries')
    return inTable + this.#waiting.length
  }

  /** Newest first. */
  find(query: AuditQuery): readonly AuditLeaf[] {
    const { limit } = query
    const newest = this.#waitingLeaves((row) => isAskedFor(row, query))
      .toReversed()
      .slice(0, limit)
    return [...newest, ...this.#findInTable({ ...query, limit: limit - newest.length })]
  }

  #waitingLeaves(isWanted: (row: Row) => boolean): readonly AuditLeaf[] {
    return this.#waiting.flatMap((row, n) =>
      isWanted(row) ? { index: row.index, leaf: this.#journal.leaf(n) } : [],
    )
  }

  #findInTable({ requestId, workload, before, limit }: AuditQuery): readonly AuditLeaf[] {
    const filters = {
      'request_id = ?': requestId,
      'workload = ?': workload,
      'position < ?': before,
    }
    const given = Object.entries(filters).filter(([, value]) => value !== undefined)
    const where = ['TRUE', ...given.map(([filter]) => filter)].join(' AND ')
    return this.#database
      .prepare(
        `SELECT position, entry FROM audit_entries WHERE ${where} ORDER BY position DESC LIMIT ?`,
      )
      .all(...given.map(([, value]) => value as string | number), limit)
      .map((row) => ({ index: Number(row['position']), leaf: String(row['entry']) }))
  }

  /** Size and root of now, signed. What it covers is on the disk before anybody has it, so that no loss of power makes it a lie. */
  checkpoint(): string {
    const { size } = this.#tree
    if (this.#checkpoint?.size === size) return this.#checkpoint.note
    const root = this.#tree.root()
    const note = signCheckpoint(this.#key.origin, { size, root }, this.#key.key)
    this.settle(() => {
      this.#database
        .prepare('INSERT OR REPLACE INTO audit_checkpoint (id, size, root) VALUES (1, ?, ?)')
        .run(size, root)
    })
    this.#checkpoint = { size, note }
    return note
  }

  /**
   * A file of tlog-tiles.
   *
   * @throws CloisterError `broker.audit-pruned` for entries that were taken out, `broker.not-found`
   */
  tile({ level, number, width }: TileName): Uint8Array {
    const tile =
      level === 'entries'
        ? this.#bundle(number * TILE_WIDTH, width)
        : this.#tree.tile({ level, number, width })
    if (tile === undefined) throw new CloisterError('broker.not-found')
    return tile
  }

  #bundle(from: number, width: number): Uint8Array | undefined {
    if (from + width > this.#tree.size) return undefined
    const end = from + width
    const rows = this.#database
      .prepare(
        'SELECT entry FROM audit_entries WHERE position >= ? AND position < ? ORDER BY position',
      )
      .all(from, end)
    const waiting = this.#waitingLeaves(({ index }) => index >= from && index < end)
    const leaves = [...rows.map((row) => String(row['entry'])), ...waiting.map(({ leaf }) => leaf)]
    if (leaves.length < width) throw new CloisterError('broker.audit-pruned')
    return encodeBundle(leaves.map((leaf) => Buffer.from(leaf)))
  }

  /** Up to 255 entries are in no full tile yet; all are where the log was a chain of hashes before. */
  #restore(): void {
    const tiles = 'SELECT count(*) AS n FROM audit_tiles WHERE level = 0'
    this.#tree.restore(count(this.#database, tiles))
    const rest = this.#database
      .prepare('SELECT entry FROM audit_entries WHERE position >= ? ORDER BY position')
      .iterate(this.#tree.size)
    const chain = this.#database.prepare('SELECT sequence, hash FROM audit_chain').get()
    this.#database.write('durable', () => {
      for (const row of rest) this.#takeUp(String(row['entry']))
      if (chain !== undefined)
        this.#beginAfter(`${LOG_EVENT.chain} ${String(chain['sequence'])} ${String(chain['hash'])}`)
      this.#replay()
    })
    this.#journal.clear()
  }

  /** What an earlier process left in the journal. It may have ended after the entries were in the table, and before they left the journal. */
  #replay(): void {
    const find = this.#database.prepare('SELECT entry FROM audit_entries WHERE position = ?')
    for (const { position, leaf, content } of this.#journal.read()) {
      const { size } = this.#tree
      const text = position < size ? find.get(position)?.['entry'] : undefined
      if (position > size || (text !== undefined && text !== leaf))
        throw new CloisterError('broker.storage', {
          why: 'the journal of the audit does not go on from the audit',
          expected: `entry ${size} as the next one`,
          received: `another entry ${position}`,
          fix: RESTORE,
        })
      if (position < size) continue
      this.#insertRow(rowOf(position, content), leaf)
      this.#takeUp(leaf)
    }
  }

  /** The chain's last hash becomes an entry; what the chain held stands before it. */
  #beginAfter(subject: string): void {
    const { size } = this.#tree
    const last = this.#database
      .prepare('SELECT max(time) AS time FROM audit_entries WHERE position = ?')
      .get(size - 1)
    const content = ownEntry(Number(last?.['time'] ?? 0), subject)
    const leaf = auditLeaf(content)
    this.#insertRow(rowOf(size, content), leaf)
    this.#takeUp(leaf)
    this.#database.prepare('DELETE FROM audit_chain').run()
  }

  /** Into the tree, in a transaction whose failure ends the log. */
  #takeUp(leaf: string): void {
    const growth = this.#tree.growth(leafHash(leaf))
    this.#store(growth.full)
    this.#tree.grow(growth)
  }

  #store(tiles: readonly FullTile[]): void {
    for (const { level, number, hashes } of tiles) this.#insertTile.run(level, number, hashes)
  }

  #assertGoesOn(): void {
    const signed = this.#database.prepare('SELECT size, root FROM audit_checkpoint').get()
    if (signed === undefined) return
    const size = Number(signed['size'])
    const isThere = size <= this.#tree.size
    if (isThere && Buffer.compare(this.#tree.root(size), signed['root'] as Uint8Array) === 0) return
    throw new CloisterError('broker.storage', {
      why: 'the audit does not go on from the last checkpoint that was signed of it',
      expected: `${size} entries as signed`,
      received: isThere ? 'other entries' : `${this.#tree.size} entries`,
    })
  }
}

function rowOf(index: number, { time, requestId, workload }: AuditContent): Row {
  return { index, time, requestId, workload: workload ?? null }
}

function isAskedFor(row: Row, { requestId, workload, before }: AuditQuery): boolean {
  return (
    (requestId === undefined || row.requestId === requestId) &&
    (workload === undefined || row.workload === workload) &&
    (before === undefined || row.index < before)
  )
}

function ownEntry(time: number, subject: string): AuditContent {
  return {
    time,
    requestId: newRequestId(),
    kind: 'admin',
    outcome: 'allowed',
    subject,
    checks: [],
  }
}
