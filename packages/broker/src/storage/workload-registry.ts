/** The workload revisions that the owner registered, found by the digest that the hardware holds in HOST_DATA. */
import type { REVISION_STATES } from '@cloister/protocol/broker-admin-api'
import { CloisterError } from '@cloister/protocol/error'
import { count, type Database } from './database.ts'
import { Remembered } from './remembered.ts'

export type RevisionState = (typeof REVISION_STATES)[number]

export interface WorkloadRevision {
  readonly name: string
  readonly revision: number
  /** As HOST_DATA holds it, 32 bytes in hex. */
  readonly initdataDigest: string
  readonly state: RevisionState
  readonly registeredAt: number
  /** How many may live at once. Absent: any number. */
  readonly instances?: number
}

export interface NewWorkloadRevision {
  readonly name: string
  readonly revision: number
  readonly initdataDigest: string
  readonly instances?: number | undefined
  /** Exactly the bytes that were hashed. */
  readonly initdata: Uint8Array
}

/** Superseded is what a higher revision of the name makes of a lower one, withdrawn or not. */
const SELECT = `
  SELECT w.name, w.revision, w.initdata_digest, w.withdrawn, w.registered_at, w.instances,
    (SELECT max(revision) FROM workload_revisions o WHERE o.name = w.name) AS latest
  FROM workload_revisions w`

export class WorkloadRegistry {
  readonly #database: Database
  readonly #find
  readonly #byInitdata = new Remembered<WorkloadRevision>()

  constructor(database: Database) {
    this.#database = database
    this.#find = database.prepare(`${SELECT} WHERE w.initdata_digest = ?`)
  }

  findByInitdata(digest: string): WorkloadRevision | undefined {
    return this.#byInitdata.get(digest, () => this.#read(digest))
  }

  #read(digest: string): WorkloadRevision | undefined {
    const row = this.#find.get(digest)
    return row === undefined ? undefined : readRevision(row)
  }

  list(): readonly WorkloadRevision[] {
    return this.#database
      .prepare(`${SELECT} ORDER BY w.name, w.revision DESC`)
      .all()
      .map(readRevision)
  }

  count(): number {
    return count(this.#database, 'SELECT count(DISTINCT name) AS n FROM workload_revisions')
  }

  /**
   * Registers a revision; lower ones of the name are superseded. The current revision's own bytes again change nothing.
   *
   * @throws CloisterError `broker.workload.revision` when the revision does not rise
   */
  register(workload: NewWorkloadRevision, now: number): void {
    const { name, revision, initdataDigest, initdata, instances = null } = workload
    this.#change(() => {
      const known = this.#read(initdataDigest)
      if (known?.state === 'current' && known.name === name) return
      const row = this.#database
        .prepare('SELECT max(revision) AS latest FROM workload_revisions WHERE name = ?')
        .get(name)
      const latest = Number(row?.['latest'] ?? 0)
      if (revision <= latest || known !== undefined)
        throw new CloisterError('broker.workload.revision', {
          where: name,
          expected: `${latest + 1} or higher`,
          received: String(revision),
        })
      this.#database
        .prepare(
          `INSERT INTO workload_revisions (name, revision, initdata_digest, initdata, registered_at, instances)
           VALUES (?, ?, ?, ?, ?, ?)`,
        )
        .run(name, revision, initdataDigest, initdata, now, instances)
    })
  }

  /** @param revision - absent: all of them. @returns false when there is none */
  withdraw(name: string, revision?: number): boolean {
    return this.#change(() => {
      const { changes } = this.#database
        .prepare(
          'UPDATE workload_revisions SET withdrawn = 1 WHERE name = ? AND revision = coalesce(?, revision)',
        )
        .run(name, revision ?? null)
      return Number(changes) > 0
    })
  }

  #change<Result>(change: () => Result): Result {
    try {
      return this.#database.write('durable', change)
    } finally {
      this.#byInitdata.forget()
    }
  }
}

function readRevision(row: Record<string, unknown>): WorkloadRevision {
  const revision = Number(row['revision'])
  return {
    name: String(row['name']),
    revision,
    initdataDigest: String(row['initdata_digest']),
    state: revisionState(row['withdrawn'] === 1, revision < Number(row['latest'])),
    registeredAt: Number(row['registered_at']),
    ...(row['instances'] !== null && { instances: Number(row['instances']) }),
  }
}

function revisionState(withdrawn: boolean, superseded: boolean): RevisionState {
  if (withdrawn) return 'withdrawn'
  return superseded ? 'superseded' : 'current'
}
