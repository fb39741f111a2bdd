/**
 * The broker's SQLite file: schema, versions, and how writes reach the disk. Everything else in `storage/` is one table each.
 */
import { chmodSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { diskFull } from '@cloister/protocol/disk-full'
import { CloisterError } from '@cloister/protocol/error'

/** Each entry lifts the schema by one version; entries are never edited once released. */
export const MIGRATIONS = [
  `
  CREATE TABLE secrets (
    path TEXT PRIMARY KEY,
    allow_simulated INTEGER NOT NULL,
    release_policy TEXT,
    version INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE secret_versions (
    path TEXT NOT NULL,
    version INTEGER NOT NULL,
    wrapped_key BLOB NOT NULL,
    ciphertext BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (path, version)
  ) STRICT;
  CREATE TABLE workload_revisions (
    name TEXT NOT NULL,
    revision INTEGER NOT NULL,
    initdata_digest TEXT NOT NULL UNIQUE,
    initdata BLOB NOT NULL,
    withdrawn INTEGER NOT NULL DEFAULT 0,
    registered_at INTEGER NOT NULL,
    PRIMARY KEY (name, revision)
  ) STRICT;
  CREATE TABLE guest_images (
    name TEXT NOT NULL,
    image_version INTEGER NOT NULL,
    anchors TEXT NOT NULL,
    mode TEXT NOT NULL,
    digests TEXT NOT NULL,
    withdrawn INTEGER NOT NULL DEFAULT 0,
    registered_at INTEGER NOT NULL,
    PRIMARY KEY (name, image_version, anchors, mode)
  ) STRICT;
  CREATE TABLE launch_digests (
    anchors TEXT NOT NULL,
    mode TEXT NOT NULL,
    digest TEXT NOT NULL,
    name TEXT NOT NULL,
    image_version INTEGER NOT NULL,
    PRIMARY KEY (anchors, mode, digest, name, image_version)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE simulated_roots (fingerprint TEXT PRIMARY KEY, pinned_at INTEGER NOT NULL) STRICT;
  CREATE TABLE platforms (chip_id TEXT PRIMARY KEY, enrolled_at INTEGER NOT NULL) STRICT;
  CREATE TABLE revocation_lists (fingerprint TEXT PRIMARY KEY, der BLOB NOT NULL) STRICT;
  CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    workload TEXT,
    entry TEXT NOT NULL,
    hash TEXT NOT NULL
  ) STRICT;
  CREATE INDEX audit_request ON audit (request_id);
  CREATE INDEX audit_workload ON audit (workload);
  CREATE TRIGGER audit_keeps BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'append-only'); END;
  CREATE TRIGGER audit_grows BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'append-only'); END;
  `,
  `
  CREATE TABLE tpm_anchors (
    fingerprint TEXT PRIMARY KEY,
    certificate BLOB NOT NULL,
    intermediates TEXT NOT NULL,
    pinned_at INTEGER NOT NULL
  ) STRICT;
  `,
  `
  CREATE TABLE audit_cuts (up_to INTEGER PRIMARY KEY) STRICT;
  CREATE TRIGGER audit_cuts_keep BEFORE UPDATE ON audit_cuts BEGIN SELECT RAISE(ABORT, 'append-only'); END;
  CREATE TRIGGER audit_cuts_grow BEFORE DELETE ON audit_cuts BEGIN SELECT RAISE(ABORT, 'append-only'); END;
  DROP TRIGGER audit_grows;
  CREATE TRIGGER audit_grows BEFORE DELETE ON audit
    WHEN OLD.sequence > (SELECT coalesce(max(up_to), 0) FROM audit_cuts)
    BEGIN SELECT RAISE(ABORT, 'append-only'); END;
  `,
  `
  CREATE TABLE intel_collateral (
    fmspc TEXT NOT NULL,
    ca TEXT NOT NULL,
    bundle BLOB NOT NULL,
    PRIMARY KEY (fmspc, ca)
  ) STRICT;
  `,
  // The audit as a Merkle tree. Entries of the chain before it keep their texts, and with them its hashes; the last one becomes an entry of its own.
  `
  CREATE TABLE audit_entries (
    position INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    workload TEXT,
    entry TEXT NOT NULL
  ) STRICT;
  INSERT INTO audit_entries
    SELECT row_number() OVER (ORDER BY sequence) - 1, time, request_id, workload, entry FROM audit;
  CREATE TABLE audit_chain (sequence INTEGER NOT NULL, hash TEXT NOT NULL) STRICT;
  INSERT INTO audit_chain SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1;
  DROP TABLE audit;
  DROP TABLE audit_cuts;
  CREATE TABLE audit_tiles (
    level INTEGER NOT NULL,
    number INTEGER NOT NULL,
    hashes BLOB NOT NULL,
    PRIMARY KEY (level, number)
  ) STRICT;
  CREATE TABLE audit_checkpoint (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    size INTEGER NOT NULL,
    root BLOB NOT NULL
  ) STRICT;
  CREATE TABLE audit_pruned (before INTEGER PRIMARY KEY) STRICT;
  CREATE INDEX audit_request ON audit_entries (request_id);
  CREATE INDEX audit_workload ON audit_entries (workload);
  CREATE TRIGGER audit_keeps BEFORE UPDATE ON audit_entries
    BEGIN SELECT RAISE(ABORT, 'append-only'); END;
  CREATE TRIGGER audit_grows BEFORE DELETE ON audit_entries
    WHEN OLD.position >= (SELECT coalesce(max(before), 0) FROM audit_pruned)
    BEGIN SELECT RAISE(ABORT, 'append-only'); END;
  CREATE TRIGGER audit_tiles_keep BEFORE UPDATE ON audit_tiles
    BEGIN SELECT RAISE(ABORT, 'append-only'); END;
  CREATE TRIGGER audit_tiles_grow BEFORE DELETE ON audit_tiles
    BEGIN SELECT RAISE(ABORT, 'append-only'); END;
  CREATE TRIGGER audit_pruned_keeps BEFORE UPDATE ON audit_pruned
    BEGIN SELECT RAISE(ABORT, 'append-only'); END;
  CREATE TRIGGER audit_pruned_grows BEFORE DELETE ON audit_pruned
    BEGIN SELECT RAISE(ABORT, 'append-only'); END;
  `,
  `
  ALTER TABLE workload_revisions ADD COLUMN instances INTEGER;
  CREATE TABLE instances (
    initdata_digest TEXT NOT NULL,
    key TEXT NOT NULL,
    since INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (initdata_digest, key)
  ) STRICT;
  `,
] as const

const SQLITE_BUSY = 5
/** How long to wait for a broker that is just ending, milliseconds. */
const BUSY_MS = 1000

/** How far a write must have come when the call returns. `durable` survives a loss of power, `ordered` a crash of ours. */
export type Durability = 'durable' | 'ordered'

/** One process at a time: the audit's tree and the sessions belong to it. */
export class Database {
  readonly #sqlite: DatabaseSync
  readonly #begin
  readonly #commit
  #durability: Durability | undefined

  /**
   * @param file - made with mode 0600 when absent
   * @throws CloisterError `host.disk-full`; `broker.storage` when it is damaged or was written by a newer version
   */
  constructor(file: string) {
    try {
      this.#sqlite = new DatabaseSync(file, { timeout: BUSY_MS })
      chmodSync(file, 0o600)
      this.#sqlite.exec(`
        PRAGMA locking_mode = EXCLUSIVE;
        PRAGMA journal_mode = WAL;
        PRAGMA foreign_keys = ON;
        PRAGMA secure_delete = ON;
        PRAGMA trusted_schema = OFF;
        PRAGMA cache_size = -2048;
      `)
      this.#begin = this.#sqlite.prepare('BEGIN IMMEDIATE')
      this.#commit = this.#sqlite.prepare('COMMIT')
      this.#migrate()
    } catch (error) {
      if (error instanceof CloisterError) throw error
      const full = diskFull(error, file)
      if (full !== undefined) throw full
      throw new CloisterError('broker.storage', {
        where: file,
        cause: error,
        ...((error as { errcode?: unknown }).errcode === SQLITE_BUSY && {
          why: 'another broker is using the database',
          fix: ['cloister broker stop', 'cloister broker start --detach'],
        }),
      })
    }
  }

  #migrate(): void {
    const row = this.#sqlite.prepare('PRAGMA user_version').get()
    const version = Number(row?.['user_version'])
    if (version > MIGRATIONS.length)
      throw new CloisterError('broker.storage', {
        why: 'the database was written by a newer version of Cloister',
        expected: `schema ${MIGRATIONS.length} or older`,
        received: `schema ${version}`,
      })
    for (const [index, migration] of MIGRATIONS.entries())
      if (index >= version)
        this.write('durable', () => {
          this.#sqlite.exec(migration)
          this.#sqlite.exec(`PRAGMA user_version = ${index + 1}`)
        })
  }

  prepare(sql: string): ReturnType<DatabaseSync['prepare']> {
    return this.#sqlite.prepare(sql)
  }

  /** Runs the writes of `change` as one transaction; nothing of it stays when it throws. @throws CloisterError `host.disk-full` */
  write<Result>(durability: Durability, change: () => Result): Result {
    this.#setDurability(durability)
    this.#begin.run()
    try {
      const result = change()
      this.#commit.run()
      return result
    } catch (error) {
      // A full disk has ended the transaction already.
      if (this.#sqlite.isTransaction) this.#sqlite.exec('ROLLBACK')
      throw diskFull(error) ?? error
    }
  }

  #setDurability(durability: Durability): void {
    if (durability === this.#durability) return
    this.#sqlite.exec(`PRAGMA synchronous = ${durability === 'durable' ? 'FULL' : 'NORMAL'}`)
    this.#durability = durability
  }

  close(): void {
    this.#sqlite.close()
  }
}

/** The number in the only column of a `SELECT count(*) AS n`. */
export function count(database: Database, sql: string): number {
  return Number(database.prepare(sql).get()?.['n'])
}
