/**
 * Live instances of workloads that may have only so many: each is a key in attested REPORT_DATA, made anew at every start of a guest. It lives as long as its last token, and
 * ends when that is not renewed or the owner ends it. Kept in the database, so that a restart of the broker makes no room.
 */
import { createHash } from 'node:crypto'
import type { Instance } from '@cloister/protocol/broker-admin-api'
import type { TeePublicKey } from '@cloister/protocol/kbs'
import type { Database } from './database.ts'
import type { WorkloadRevision } from './workload-registry.ts'

/** SHA-256 of the key's required members (RFC 7638), hex: the name of an instance. */
export function instanceName(key: TeePublicKey): string {
  const members =
    key.kty === 'EC'
      ? { crv: key.crv, kty: key.kty, x: key.x, y: key.y }
      : { e: key.e, kty: key.kty, n: key.n }
  return createHash('sha256').update(JSON.stringify(members)).digest('hex')
}

/** Stands in place of an initdata digest for a key that the owner ended. */
const ANY_WORKLOAD = ''

export interface Admission {
  readonly admitted: boolean
  /** Names of those that live besides. */
  readonly others: readonly string[]
  /** Takes back what the admission changed, where what it was for did not come about. */
  readonly giveBack: () => void
}

export class Instances {
  readonly #database: Database
  readonly #find
  readonly #others
  readonly #put
  readonly #remove
  readonly #sweep

  constructor(database: Database) {
    this.#database = database
    this.#find = database.prepare(
      'SELECT expires_at, ended FROM instances WHERE initdata_digest = ? AND key = ?',
    )
    this.#others = database.prepare(
      'SELECT key FROM instances WHERE initdata_digest = ? AND key != ? AND expires_at > ? AND NOT ended ORDER BY since',
    )
    this.#put = database.prepare(
      `INSERT INTO instances (initdata_digest, key, since, expires_at) VALUES (?, ?, ?, ?)
       ON CONFLICT (initdata_digest, key) DO UPDATE SET expires_at = excluded.expires_at`,
    )
    this.#remove = database.prepare(
      'DELETE FROM instances WHERE initdata_digest = ? AND key = ? AND NOT ended',
    )
    this.#sweep = database.prepare('DELETE FROM instances WHERE expires_at <= ? AND NOT ended')
  }

  /**
   * Lets an instance live until its token ends, where fewer others live than the revision may have; one that the owner ended never again.
   *
   * @param expiresAt - milliseconds since 1970, of its next token
   */
  admit(
    { initdataDigest, instances = Infinity }: WorkloadRevision,
    name: string,
    { now, expiresAt }: { readonly now: number; readonly expiresAt: number },
  ): Admission {
    const known = this.#find.get(initdataDigest, name)
    const others = this.#others.all(initdataDigest, name, now).map(({ key }) => String(key))
    if (this.#isEnded(initdataDigest, name) || others.length >= instances)
      return { admitted: false, others, giveBack: () => {} }
    const isLive = known !== undefined && Number(known['expires_at']) > now
    // INVARIANT: a new one is on the disk before its token leaves; losing the end of a renewal makes room sooner by less than a token's life.
    this.#database.write(isLive ? 'ordered' : 'durable', () => {
      this.#sweep.run(now)
      this.#put.run(initdataDigest, name, now, expiresAt)
    })
    const giveBack = () => {
      this.#database.write('durable', () => {
        if (isLive) this.#put.run(initdataDigest, name, now, Number(known['expires_at']))
        else this.#remove.run(initdataDigest, name)
      })
    }
    return { admitted: true, others, giveBack }
  }

  isLive(initdataDigest: string, name: string, now: number): boolean {
    const known = this.#find.get(initdataDigest, name)
    const isInTime = known !== undefined && Number(known['expires_at']) > now
    return isInTime && !this.#isEnded(initdataDigest, name)
  }

  #isEnded(initdataDigest: string, name: string): boolean {
    const ofAll = [initdataDigest, ANY_WORKLOAD].map((digest) => this.#find.get(digest, name))
    return ofAll.some((known) => known?.['ended'] === 1)
  }

  list(now: number): readonly Instance[] {
    return this.#database
      .prepare(
        `SELECT w.name, w.revision, w.instances, i.key, i.since, i.expires_at
         FROM instances i JOIN workload_revisions w ON w.initdata_digest = i.initdata_digest
         WHERE i.expires_at > ? AND NOT i.ended ORDER BY w.name, w.revision, i.since`,
      )
      .all(now)
      .map((row) => ({
        workload: String(row['name']),
        revision: Number(row['revision']),
        limit: Number(row['instances']),
        key: String(row['key']),
        since: Number(row['since']),
        expiresAt: Number(row['expires_at']),
      }))
  }

  /**
   * For good, and whether or not it lives: its key gets no token and no secret any more, of any workload.
   *
   * @returns whether it lived
   */
  end(name: string, now: number): boolean {
    return this.#database.write('durable', () => {
      const lived = this.#database
        .prepare('UPDATE instances SET ended = 1 WHERE key = ? AND expires_at > ? AND NOT ended')
        .run(name, now)
      // One whose token has ended is kept nowhere, and could attest again.
      this.#database
        .prepare(
          `INSERT INTO instances (initdata_digest, key, since, expires_at, ended) VALUES (?, ?, ?, ?, 1)
           ON CONFLICT (initdata_digest, key) DO NOTHING`,
        )
        .run(ANY_WORKLOAD, name, now, now)
      return Number(lived.changes) > 0
    })
  }
}
