/**
 * What the owner decided about trust beside policies: pinned simulated roots, enrolled platforms, CAs of TPMs; and what vendors say: AMD's revocation
 * lists, Intel's collateral.
 */
import { createHash } from 'node:crypto'
import { equalBytes } from '@cloister/verifier/bytes/equal'
import { toHex } from '@cloister/verifier/bytes/hex'
import type { DcapEndorsements } from '@cloister/verifier/dcap/endorsements'
import {
  bundleEndorsements,
  encodeBundle,
  parseBundle,
  type EndorsementBundle,
} from '@cloister/verifier/endorsements/bundle'
import { parseRevocationList } from '@cloister/verifier/formats/x509-crl'
import type { TpmAnchor } from '../tpm/endorsement-key.ts'
import { count, type Database } from './database.ts'
import { Remembered } from './remembered.ts'

export interface PinnedTpmAnchor extends TpmAnchor {
  readonly pinnedAt: number
}

/** Collateral of this many kinds of platforms at most: the verifier reads so many files. */
export const INTEL_PLATFORMS = 8

/** A bundle of Intel's collateral for TDX, and the kind of platform that it is for. */
export interface IntelCollateral {
  /** 6 bytes, hex. */
  readonly fmspc: string
  readonly ca: 'platform' | 'processor'
  readonly bundle: EndorsementBundle
}

export class TrustSettings {
  readonly #database: Database
  readonly #findEnrolled
  readonly #enrolled = new Remembered<boolean>()
  /** Asked at every decision, changed by the owner only. */
  #simulatedRoots: readonly string[]
  #revocationLists: readonly Uint8Array[]
  #tpmAnchors: readonly PinnedTpmAnchor[]
  #intelBundles: readonly IntelCollateral[]
  #intelCollateral: DcapEndorsements

  constructor(database: Database) {
    this.#database = database
    this.#findEnrolled = database.prepare('SELECT 1 FROM platforms WHERE chip_id = ?')
    this.#simulatedRoots = this.#readSimulatedRoots()
    this.#revocationLists = this.#readRevocationLists()
    this.#tpmAnchors = this.#readTpmAnchors()
    this.#intelBundles = this.#readIntelBundles()
    this.#intelCollateral = joined(this.#intelBundles)
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
    const read = () => this.#findEnrolled.get(chipId) !== undefined
    return this.#enrolled.get(chipId, read) === true
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

  /** DER of AMD's revocation lists that the owner brought or AMD was asked for; each is verified when it is used. */
  revocationLists(): readonly Uint8Array[] {
    return this.#revocationLists
  }

  /** @param der - known to be a list; who signed it is judged when it is used */
  addRevocationList(der: Uint8Array): void {
    const fingerprint = createHash('sha256').update(der).digest('hex')
    this.#change(
      'INSERT INTO revocation_lists (fingerprint, der) VALUES (?, ?) ON CONFLICT DO NOTHING',
      [fingerprint, der],
    )
    this.#revocationLists = this.#readRevocationLists()
  }

  hasRevocationList(der: Uint8Array): boolean {
    return this.#revocationLists.some((known) => equalBytes(known, der))
  }

  /** Adds a list in place of those that the same issuer made before it, which it supersedes. @throws FormatError */
  replaceRevocationList(der: Uint8Array): void {
    const { issuer, thisUpdate, revoked } = parseRevocationList(der)
    const serials = new Set([...revoked].map(toHex))
    const older = this.#revocationLists.filter((known) => {
      const list = parseRevocationList(known)
      // Lists of VCEKs and VLEKs have one issuer; what an older one revokes and this one does not must stay.
      const superseded = [...list.revoked].every((serial) => serials.has(toHex(serial)))
      return equalBytes(list.issuer.raw, issuer.raw) && list.thisUpdate < thisUpdate && superseded
    })
    this.addRevocationList(der)
    const remove = this.#database.prepare('DELETE FROM revocation_lists WHERE der = ?')
    this.#database.write('durable', () => {
      for (const known of older) remove.run(known)
    })
    this.#revocationLists = this.#readRevocationLists()
  }

  /** Intel's collateral that the owner brought; each part is verified when it is used. */
  intelCollateral(): DcapEndorsements {
    return this.#intelCollateral
  }

  intelBundles(): readonly IntelCollateral[] {
    return this.#intelBundles
  }

  hasIntelCollateral(fmspc: string, ca: IntelCollateral['ca']): boolean {
    return this.#intelBundles.some((known) => known.fmspc === fmspc && known.ca === ca)
  }

  /** In place of what there is for that kind of platform. @returns false, and changes nothing, where there is no room for another kind */
  putIntelCollateral({ fmspc, ca, bundle }: IntelCollateral): boolean {
    if (!this.hasIntelCollateral(fmspc, ca) && this.#intelBundles.length >= INTEL_PLATFORMS)
      return false
    this.#change(
      `INSERT INTO intel_collateral (fmspc, ca, bundle) VALUES (?, ?, ?)
       ON CONFLICT (fmspc, ca) DO UPDATE SET bundle = excluded.bundle`,
      [fmspc, ca, encodeBundle(bundle)],
    )
    this.#refreshIntel()
    return true
  }

  /** @returns false when there was none */
  removeIntelCollateral(fmspc: string): boolean {
    const found = this.#change('DELETE FROM intel_collateral WHERE fmspc = ?', [fmspc])
    this.#refreshIntel()
    return found
  }

  #refreshIntel(): void {
    this.#intelBundles = this.#readIntelBundles()
    this.#intelCollateral = joined(this.#intelBundles)
  }

  #readIntelBundles(): readonly IntelCollateral[] {
    return this.#database
      .prepare('SELECT * FROM intel_collateral ORDER BY fmspc, ca')
      .all()
      .map((row) => ({
        fmspc: String(row['fmspc']),
        ca: row['ca'] as IntelCollateral['ca'],
        bundle: parseBundle(row['bundle'] as Uint8Array),
      }))
  }

  /** CAs under which EK certificates of TPMs are believed. */
  tpmAnchors(): readonly PinnedTpmAnchor[] {
    return this.#tpmAnchors
  }

  /** The same certificate again replaces its intermediates. */
  pinTpmAnchor({ fingerprint, certificate, intermediates }: TpmAnchor, now: number): void {
    const list = JSON.stringify(intermediates.map((der) => Buffer.from(der).toString('base64')))
    this.#change(
      `INSERT INTO tpm_anchors (fingerprint, certificate, intermediates, pinned_at) VALUES (?, ?, ?, ?)
       ON CONFLICT (fingerprint) DO UPDATE SET intermediates = excluded.intermediates`,
      [fingerprint, certificate, list, now],
    )
    this.#tpmAnchors = this.#readTpmAnchors()
  }

  /** @returns false when it was not pinned */
  unpinTpmAnchor(fingerprint: string): boolean {
    const found = this.#change('DELETE FROM tpm_anchors WHERE fingerprint = ?', [fingerprint])
    this.#tpmAnchors = this.#readTpmAnchors()
    return found
  }

  #readTpmAnchors(): readonly PinnedTpmAnchor[] {
    return this.#database
      .prepare('SELECT * FROM tpm_anchors ORDER BY fingerprint')
      .all()
      .map((row) => ({
        fingerprint: String(row['fingerprint']),
        certificate: row['certificate'] as Uint8Array,
        intermediates: (JSON.parse(String(row['intermediates'])) as string[]).map((text) =>
          Buffer.from(text, 'base64'),
        ),
        pinnedAt: Number(row['pinned_at']),
      }))
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
    try {
      return this.#database.write(
        'durable',
        () => Number(this.#database.prepare(sql).run(...values).changes) > 0,
      )
    } finally {
      this.#enrolled.forget()
    }
  }
}

/** All bundles as one set: what several bring stands in it once. */
function joined(bundles: readonly IntelCollateral[]): DcapEndorsements {
  const all = bundles.map(({ bundle }) => bundleEndorsements(bundle))
  const distinct = (kind: 'certificates' | 'revocationLists' | 'tcbInfos' | 'qeIdentities') => {
    const kept: Uint8Array[] = []
    for (const item of all.flatMap((endorsements) => endorsements[kind]))
      if (!kept.some((other) => equalBytes(other, item))) kept.push(item)
    return kept
  }
  return {
    certificates: distinct('certificates'),
    revocationLists: distinct('revocationLists'),
    tcbInfos: distinct('tcbInfos'),
    qeIdentities: distinct('qeIdentities'),
  }
}
