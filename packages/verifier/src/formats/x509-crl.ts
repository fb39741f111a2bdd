/** X.509 v2 certificate revocation lists (RFC 5280 section 5): bytes to values, no trust decisions. */
import { equalsRange } from '../bytes/equal.ts'
import { TAG, contextTag, readSequence } from './der-reader.ts'
import type { DerElement, DerReader } from './der-reader.ts'
import { readSignatureAlgorithm } from './x509-algorithm.ts'
import type { SignatureAlgorithm } from './x509-algorithm.ts'
import { readExtensionList } from './x509-certificate.ts'
import type { Extension } from './x509-certificate.ts'
import { EXTENSION_OID } from './x509-extensions.ts'
import { emptyMemo } from './x509-memo.ts'
import type { X509Memo } from './x509-memo.ts'
import { readName } from './x509-name.ts'
import type { Name } from './x509-name.ts'
import { passTime, readTime } from './x509-time.ts'

const FORMAT = 'X.509 CRL'

export interface RevocationList {
  readonly raw: Uint8Array
  readonly tbs: Uint8Array
  readonly issuer: Name
  readonly thisUpdate: Date
  readonly nextUpdate: Date
  readonly revoked: RevokedSerials
  readonly extensions: readonly Extension[]
  readonly signatureAlgorithm: SignatureAlgorithm
  readonly signature: Uint8Array
  readonly memo: X509Memo
}

/** The revoked serial numbers, looked up in the list itself: lists can be long, and are asked for one certificate or two. */
export class RevokedSerials implements Iterable<Uint8Array> {
  readonly #entries: DerElement | undefined

  /** @param entries - checked whole; undefined when there are none */
  constructor(entries: DerElement | undefined) {
    this.#entries = entries
  }

  /** @param serial - contents of the certificate's serial number INTEGER */
  has(serial: Uint8Array): boolean {
    const entries = this.#entries?.open(FORMAT, 0)
    if (entries === undefined) return false
    while (!entries.done) {
      const end = entries.descend(TAG.sequence, 'revokedCertificate')
      if (entries.read(TAG.integer, 'userCertificate', equalsRange, serial)) return true
      entries.leave(end)
    }
    return false
  }

  /** Contents of each revoked serial number INTEGER, as views. */
  *[Symbol.iterator](): Generator<Uint8Array> {
    const entries = this.#entries?.open(FORMAT, 0)
    if (entries === undefined) return
    while (!entries.done) {
      const end = entries.descend(TAG.sequence, 'revokedCertificate')
      yield entries.integer('userCertificate')
      entries.leave(end)
    }
  }
}

/** Critical extensions we understand; any other makes the list unusable (RFC 5280 section 5.2). */
const UNDERSTOOD: ReadonlySet<string> = new Set([
  EXTENSION_OID.crlNumber,
  EXTENSION_OID.authorityKeyIdentifier,
  EXTENSION_OID.crlReason,
])

/**
 * A list without nextUpdate, a delta list and one with a critical extension that is not understood are refused: none of
 * them can be relied on as the whole, current list.
 *
 * @throws FormatError
 */
export function parseRevocationList(bytes: Uint8Array): RevocationList {
  const outer = readSequence(FORMAT, bytes)
  const tbsElement = outer.element(TAG.sequence, 'tbsCertList')
  const outerAlgorithm = outer.element(TAG.sequence, 'signatureAlgorithm')
  const signature = outer.bitStringBytes('signatureValue')
  outer.end()

  const tbs = outer.open(tbsElement)
  if (tbs.smallInteger('version') !== 1) tbs.fail('version', 'not 2')
  const innerAlgorithm = tbs.element(TAG.sequence, 'signature')
  if (!innerAlgorithm.equals(outerAlgorithm))
    tbs.fail('signature', 'differs from signatureAlgorithm')
  const signatureAlgorithm = readSignatureAlgorithm(tbs.again(innerAlgorithm), 'signature')
  const issuer = readName(tbs, 'issuer')
  const thisUpdate = readTime(tbs, 'thisUpdate')
  const nextUpdate = readTime(tbs, 'nextUpdate')
  const revoked = readRevoked(tbs)
  const extensions = readListExtensions(tbs)
  tbs.end()
  return {
    raw: bytes,
    tbs: tbsElement.raw,
    issuer,
    thisUpdate,
    nextUpdate,
    revoked,
    extensions,
    signatureAlgorithm,
    signature,
    memo: emptyMemo(),
  }
}

function readRevoked(tbs: DerReader): RevokedSerials {
  const list = tbs.optional(TAG.sequence, 'revokedCertificates')
  if (list === undefined) return new RevokedSerials(undefined)
  const entries = tbs.open(list)
  while (!entries.done) {
    const end = entries.descend(TAG.sequence, 'revokedCertificate')
    entries.passInteger('userCertificate')
    passTime(entries, 'revocationDate')
    if (entries.offset < end) refuseUnknownCritical(entries, readExtensionList(entries))
    entries.close(end, 'revokedCertificate')
  }
  return new RevokedSerials(list)
}

function readListExtensions(tbs: DerReader): Extension[] {
  const wrapper = tbs.optional(contextTag(0, 'constructed'), 'crlExtensions')
  if (wrapper === undefined) return []
  const reader = tbs.open(wrapper)
  const extensions = readExtensionList(reader)
  reader.end()
  refuseUnknownCritical(tbs, extensions)
  return extensions
}

function refuseUnknownCritical(reader: DerReader, extensions: readonly Extension[]): void {
  const unknown = extensions.find(({ critical, oid }) => critical && !UNDERSTOOD.has(oid))
  if (unknown !== undefined) reader.fail('extensions', `critical ${unknown.oid} is not understood`)
}
