/** What the owner decided about trust beside policies: pinned simulated roots, enrolled platforms, revocation lists. */
import { createHash } from 'node:crypto'
import { count, type Database } from './database.ts'

export class TrustSettings {
  readonly #database: Database
  readonly #isEnrolled
  /** Asked at every decision, changed by the owner only. */
  #simulatedRoots: readonly string[]
  #revocationLists: readonly Uint8Array[]

  constructor(database: Database) {
    this.#database = database
    this.#isEnrolled = database.prepare('SELECT 1 FROM platforms WHERE chip_id = ?')
    this.#simulatedRoots = this.#readSimulatedRoots()
    this.#revocationLists = this.#readRevocationLists()
  }

  /** SHA-256 of the DER of each pinned simulated root, hex. */
  simulatedRoots(): readonly string[] {
    return this.#simulatedRoots
  }

  pinSimulatedRoot(fingerprint: string, now: number): void {
    this.#change(
      'INSERT INTO simulated_roots (fingerprint, pinned_at) VALUES (?, ?) ON CONFLICT DO NOTHING',
      [fingerprint, now],
    )
    this.#simulatedRoots = this.#readSimulatedRoots()
  }

  /** @returns false when it was not pinned */
  unpinSimulatedRoot(fingerprint: string): boolean {
    const sql = 'DELETE FROM simulated_roots WHERE fingerprint = ?'
    const found = this.#change(sql, [fingerprint])
    this.#simulatedRoots = this.#readSimulatedRoots()
    return found
  }

  isEnrolled(chipId: string): boolean {
    return this.#isEnrolled.get(chipId) !== undefined
  }

  platforms(): readonly { readonly chipId: string; readonly enrolledAt: number }[] {
    return this.#database
      .prepare('SELECT chip_id, enrolled_at FROM platforms ORDER BY chip_id')
      .all()
      .map((row) => ({ chipId: String(row['chip_id']), enrolledAt: Number(row['enrolled_at']) }))
  }

  platformCount(): number {
    return count(this.#database, 'SELECT count(*) AS n FROM platforms')
  }

  enrollPlatform(chipId: string, now: number): void {
    this.#change(
      'INSERT INTO platforms (chip_id, enrolled_at) VALUES (?, ?) ON CONFLICT DO NOTHING',
      [chipId, now],
    )
  }

  /** @returns false when it was not enrolled */
  removePlatform(chipId: string): boolean {
    return this.#change('DELETE FROM platforms WHERE chip_id = ?', [chipId])
  }

  /** DER of AMD's revocation lists that the owner brought; each is verified when it is used. */
  revocationLists(): readonly Uint8Array[] {
    return this.#revocationLists
  }

  addRevocationList(der: Uint8Array): void {
    const fingerprint = createHash('sha256').update(der).digest('hex')
    this.#change(
      'INSERT INTO revocation_lists (fingerprint, der) VALUES (?, ?) ON CONFLICT DO NOTHING',
      [fingerprint, der],
    )
    this.#revocationLists = this.#readRevocationLists()
  }

  #readSimulatedRoots(): readonly string[] {
    return this.#database
      .prepare('SELECT fingerprint FROM simulated_roots ORDER BY fingerprint')
      .all()
      .map((row) => String(row['fingerprint']))
  }

  #readRevocationLists(): readonly Uint8Array[] {
    return this.#database
      .prepare('SELECT der FROM revocation_lists')
      .all()
      .map((row) => row['der'] as Uint8Array)
  }

  #change(sql: string, values: readonly (string | number | Uint8Array)[]): boolean {
    return this.#database.write(
      'durable',
      () => Number(this.#database.prepare(sql).run(...values).changes) > 0,
    )
  }
}
