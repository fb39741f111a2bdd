/** The secrets that the broker keeps: values sealed and versioned, each with its release policy or none. */
import type { KeyObject } from 'node:crypto'
import { AnyReleasePolicySchema, type AnyReleasePolicy } from '@cloister/protocol/broker-admin-api'
import { CloisterError } from '@cloister/protocol/error'
import { count, type Database } from './database.ts'
import { openSecret, sealSecret, type SealedSecret } from './envelope.ts'
import { Remembered } from './remembered.ts'

/** A secret without its value. */
export interface Secret {
  readonly path: string
  readonly version: number
  readonly createdAt: number
  readonly allowSimulated: boolean
  /** Absent: goes to nobody. */
  readonly policy: AnyReleasePolicy | undefined
}

export interface NewSecret {
  readonly path: string
  readonly value: Uint8Array
  readonly allowSimulated: boolean
  /** Absent: the stored policy stays. */
  readonly policy?: AnyReleasePolicy | undefined
}

/** Sealed values that are remembered, as keys are; of larger ones each release reads the database. Bytes. */
const SMALL = 4096

/** Older versions are kept for roll-back by hand; more than this many are forgotten. */
const KEPT_VERSIONS = 8

const SELECT = `
  SELECT s.path, s.version, s.allow_simulated, s.release_policy, v.created_at
  FROM secrets s JOIN secret_versions v ON v.path = s.path AND v.version = s.version`

export class SecretStore {
  readonly #database: Database
  readonly #kek: KeyObject
  readonly #find
  readonly #findValue
  readonly #findOf
  /** A fleet asks for the same few secrets again and again. */
  readonly #byPath = new Remembered<Secret>()
  /** The current values, sealed, by path. */
  readonly #small = new Remembered<SealedSecret>()
  /** By their stored text. */
  readonly #policies = new Remembered<AnyReleasePolicy>()

  constructor(database: Database, kek: KeyObject) {
    this.#database = database
    this.#kek = kek
    this.#find = database.prepare(`${SELECT} WHERE s.path = ?`)
    this.#findOf = database.prepare(
      `${SELECT} WHERE EXISTS (SELECT 1 FROM json_each(s.release_policy, '$.workloads') w
         WHERE json_extract(w.value, '$.name') = ?) ORDER BY s.path`,
    )
    this.#findValue = database.prepare(
      'SELECT wrapped_key, ciphertext FROM secret_versions WHERE path = ? AND version = ?',
    )
  }

  find(path: string): Secret | undefined {
    return this.#byPath.get(path, () => {
      const row = this.#find.get(path)
      return row === undefined ? undefined : this.#read(row)
    })
  }

  /** Those whose policy names the workload, whatever the revision. */
  findOf(workload: string): readonly Secret[] {
    return this.#findOf.all(workload).map((row) => this.#read(row))
  }

  list(): readonly Secret[] {
    return this.#database
      .prepare(`${SELECT} ORDER BY s.path`)
      .all()
      .map((row) => this.#read(row))
  }

  count(): number {
    return count(this.#database, 'SELECT count(*) AS n FROM secrets')
  }

  /** Whether there is a secret that a simulated TEE must never get (design, rule 4). */
  hasReal(): boolean {
    return count(this.#database, 'SELECT count(*) AS n FROM secrets WHERE allow_simulated = 0') > 0
  }

  /** @returns the new version's number */
  put({ path, value, allowSimulated, policy }: NewSecret, now: number): number {
    return this.#change(() => {
      const latest = this.#database
        .prepare('SELECT max(version) AS n FROM secret_versions WHERE path = ?')
        .get(path)
      const version = Number(latest?.['n'] ?? 0) + 1
      const sealed = sealSecret(this.#kek, { path, version }, value)
      this.#database
        .prepare(
          `INSERT INTO secrets (path, allow_simulated, release_policy, version) VALUES (?, ?, ?, ?)
           ON CONFLICT (path) DO UPDATE SET allow_simulated = excluded.allow_simulated, version = excluded.version,
             release_policy = coalesce(excluded.release_policy, release_policy)`,
        )
        .run(path, allowSimulated ? 1 : 0, policy === undefined ? null : encode(policy), version)
      this.#database
        .prepare(
          'INSERT INTO secret_versions (path, version, wrapped_key, ciphertext, created_at) VALUES (?, ?, ?, ?, ?)',
        )
        .run(path, version, sealed.wrappedKey, sealed.ciphertext, now)
      this.#database
        .prepare('DELETE FROM secret_versions WHERE path = ? AND version <= ?')
        .run(path, version - KEPT_VERSIONS)
      return version
    })
  }

  /** @returns false when there is no such secret */
  setPolicy(path: string, policy: AnyReleasePolicy): boolean {
    return this.#change(() => {
      const { changes } = this.#database
        .prepare('UPDATE secrets SET release_policy = ? WHERE path = ?')
        .run(encode(policy), path)
      return Number(changes) > 0
    })
  }

  /** Deletes the secret and all its versions. @returns false when there is no such secret */
  delete(path: string): boolean {
    return this.#change(() => {
      this.#database.prepare('DELETE FROM secret_versions WHERE path = ?').run(path)
      const { changes } = this.#database.prepare('DELETE FROM secrets WHERE path = ?').run(path)
      return Number(changes) > 0
    })
  }

  /** Opens the current value; the caller has decided that it may. */
  reveal(secret: Secret): Buffer {
    const sealed =
      this.#small.get(secret.path, () => {
        const stored = this.#findSealed(secret)
        return stored.ciphertext.length <= SMALL ? stored : undefined
      }) ?? this.#findSealed(secret)
    return openSecret(this.#kek, secret, sealed)
  }

  #findSealed({ path, version }: Secret): SealedSecret {
    const row = this.#findValue.get(path, version)
    if (row === undefined)
      throw new CloisterError('broker.storage', {
        where: path,
        why: `version ${version} of the secret is missing`,
      })
    return {
      wrappedKey: row['wrapped_key'] as Uint8Array,
      ciphertext: row['ciphertext'] as Uint8Array,
    }
  }

  #change<Result>(change: () => Result): Result {
    try {
      return this.#database.write('durable', change)
    } finally {
      this.#byPath.forget()
      this.#small.forget()
    }
  }

  #read(row: Record<string, unknown>): Secret {
    const policy = row['release_policy']
    return {
      path: String(row['path']),
      version: Number(row['version']),
      createdAt: Number(row['created_at']),
      allowSimulated: row['allow_simulated'] === 1,
      policy: typeof policy === 'string' ? this.#readPolicy(policy) : undefined,
    }
  }

  #readPolicy(text: string): AnyReleasePolicy | undefined {
    return this.#policies.get(text, () => AnyReleasePolicySchema.parse(JSON.parse(text)))
  }
}

const encode = (policy: AnyReleasePolicy): string => JSON.stringify(policy)
