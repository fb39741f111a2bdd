/**
 * Reference Values: launch digests of the guest images that the owner registered, keyed by anchor set and attester mode
 * (design, rule 3), so that the digest of a simulated command line never matches under AMD's anchors, nor the reverse.
 */
import type { AnchorSet } from '@cloister/protocol/broker-admin-api'
import { CloisterError } from '@cloister/protocol/error'
import type { GuestImageManifest } from '@cloister/protocol/guest-image-manifest'
import type { AttesterMode } from '@cloister/protocol/guest-names'
import { tdxMeasurement } from '../attestation/attestation-result.ts'
import { count, type Database } from './database.ts'
import { Remembered } from './remembered.ts'

/** The one attester mode whose digests count under each anchor set. */
export const MODE_OF_ANCHORS = {
  amd: 'hardware',
  intel: 'hardware',
  simulated: 'simulated',
} as const satisfies Record<AnchorSet, AttesterMode>

/** A guest image with a given launch digest. */
export interface ReferenceValue {
  readonly name: string
  readonly imageVersion: number
  readonly anchors: AnchorSet
  readonly mode: AttesterMode
  readonly withdrawn: boolean
}

export interface GuestImage extends ReferenceValue {
  readonly digests: number
  /** As `measurementOf` has them. */
  readonly measurements: readonly string[]
  readonly registeredAt: number
}

export interface NewGuestImage {
  readonly manifest: GuestImageManifest
  readonly mode: AttesterMode
  readonly anchors: AnchorSet
}

export class ReferenceValueStore {
  readonly #database: Database
  readonly #find
  readonly #byMeasurement = new Remembered<readonly ReferenceValue[]>()

  constructor(database: Database) {
    this.#database = database
    this.#find = database.prepare(`
      SELECT i.name, i.image_version, i.anchors, i.mode, i.withdrawn
      FROM launch_digests d JOIN guest_images i
        ON i.name = d.name AND i.image_version = d.image_version AND i.anchors = d.anchors AND i.mode = d.mode
      WHERE d.anchors = ? AND d.mode = ? AND d.digest = ?`)
  }

  /** @param measurement - as `measurementOf` has it. @returns withdrawn ones too, so that the audit can say so */
  find(anchors: AnchorSet, measurement: string): readonly ReferenceValue[] {
    return (
      this.#byMeasurement.get(`${anchors} ${measurement}`, () => {
        const rows = this.#find.all(anchors, MODE_OF_ANCHORS[anchors], measurement)
        return rows.length === 0 ? undefined : rows.map(readReferenceValue)
      }) ?? []
    )
  }

  list(): readonly GuestImage[] {
    return this.#database
      .prepare('SELECT * FROM guest_images ORDER BY name, image_version DESC, anchors')
      .all()
      .map(readGuestImage)
  }

  count(): number {
    return count(this.#database, 'SELECT count(*) AS n FROM guest_images')
  }

  /**
   * Registers the digests of a manifest for one mode. The same digests for the same version again change nothing.
   *
   * @throws CloisterError `broker.guest-image.mode`, `broker.guest-image.empty`, `broker.guest-image.version`
   */
  register({ manifest, mode, anchors }: NewGuestImage, now: number): void {
    if (mode !== MODE_OF_ANCHORS[anchors])
      throw new CloisterError('broker.guest-image.mode', {
        expected: `${MODE_OF_ANCHORS[anchors]} for ${anchors}`,
        received: mode,
      })
    const digests = measurements(manifest, anchors)
    if (digests.length === 0)
      throw new CloisterError('broker.guest-image.empty', { where: manifest.name })
    this.#change(() => {
      if (this.#isRegistered(manifest, anchors, mode, digests)) return
      this.#insert(manifest, { anchors, mode, digests }, now)
    })
  }

  #isRegistered(
    { name, imageVersion }: GuestImageManifest,
    anchors: AnchorSet,
    mode: AttesterMode,
    digests: readonly string[],
  ): boolean {
    const latest = this.#database
      .prepare(
        `SELECT image_version, digests FROM guest_images WHERE name = ? AND anchors = ? AND mode = ?
         ORDER BY image_version DESC LIMIT 1`,
      )
      .get(name, anchors, mode)
    if (latest === undefined) return false
    const version = Number(latest['image_version'])
    if (version === imageVersion && latest['digests'] === JSON.stringify(digests)) return true
    if (imageVersion > version) return false
    throw new CloisterError('broker.guest-image.version', {
      where: name,
      expected: `${version + 1} or higher`,
      received: String(imageVersion),
    })
  }

  #insert(
    { name, imageVersion }: GuestImageManifest,
    key: { anchors: AnchorSet; mode: AttesterMode; digests: readonly string[] },
    now: number,
  ): void {
    this.#database
      .prepare(
        `INSERT INTO guest_images (name, image_version, anchors, mode, digests, registered_at)
         VALUES (?, ?, ?, ?, ?, ?)`,
      )
      .run(name, imageVersion, key.anchors, key.mode, JSON.stringify(key.digests), now)
    const insert = this.#database.prepare(
      'INSERT INTO launch_digests (anchors, mode, digest, name, image_version) VALUES (?, ?, ?, ?, ?)',
    )
    for (const digest of key.digests) insert.run(key.anchors, key.mode, digest, name, imageVersion)
  }

  /** Withdraws a version in every mode. @returns false when there is none */
  withdraw(name: string, imageVersion: number): boolean {
    return this.#change(() => {
      const { changes } = this.#database
        .prepare('UPDATE guest_images SET withdrawn = 1 WHERE name = ? AND image_version = ?')
        .run(name, imageVersion)
      return Number(changes) > 0
    })
  }

  #change<Result>(change: () => Result): Result {
    try {
      return this.#database.write('durable', change)
    } finally {
      this.#byMeasurement.forget()
    }
  }
}

function measurements({ expected }: GuestImageManifest, anchors: AnchorSet): string[] {
  if (anchors === 'intel')
    return expected.tdx === undefined ? [] : [tdxMeasurement(expected.tdx.hardware)]
  const byType = Object.values(expected.snp[MODE_OF_ANCHORS[anchors]])
  return [...new Set(byType.flatMap((byCount) => Object.values(byCount)))].sort()
}

function readGuestImage(row: Record<string, unknown>): GuestImage {
  const measurements = JSON.parse(String(row['digests'])) as string[]
  return {
    ...readReferenceValue(row),
    digests: measurements.length,
    measurements,
    registeredAt: Number(row['registered_at']),
  }
}

function readReferenceValue(row: Record<string, unknown>): ReferenceValue {
  return {
    name: String(row['name']),
    imageVersion: Number(row['image_version']),
    anchors: row['anchors'] as AnchorSet,
    mode: row['mode'] as AttesterMode,
    withdrawn: row['withdrawn'] === 1,
  }
}
