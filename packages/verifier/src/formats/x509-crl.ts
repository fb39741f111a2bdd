/** X.509 v2 certificate revocation lists (RFC 5280 section 5): bytes to values, no trust decisions. */
import { toHex } from '../bytes/hex.ts'
import { TAG, contextTag, readSequence } from './der-reader.ts'
import type { DerReader } from './der-reader.ts'
import { readSignatureAlgorithm } from './x509-algorithm.ts'
import type { SignatureAlgorithm } from './x509-algorithm.ts'
import { readExtensionList } from './x509-certificate.ts'
import type { Extension } from './x509-certificate.ts'
import { EXTENSION_OID } from './x509-extensions.ts'
import { emptyMemo } from './x509-memo.ts'
import type { X509Memo } from './x509-memo.ts'
import { readName } from './x509-name.ts'
import type { Name } from './x509-name.ts'
import { readTime } from './x509-time.ts'

export interface RevocationList {
  readonly raw: Uint8Array
  readonly tbs: Uint8Array
  readonly issuer: Name
  readonly thisUpdate: Date
  readonly nextUpdate: Date
  /** Contents of each revoked serial number INTEGER, in hex. */
  readonly revokedSerials: ReadonlySet<string>
  readonly extensions: readonly Extension[]
  readonly signatureAlgorithm: SignatureAlgorithm
  readonly signature: Uint8Array
  readonly memo: X509Memo
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
  const outer = readSequence('X.509 CRL', bytes)
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
  const revokedSerials = readRevoked(tbs)
  const extensions = readListExtensions(tbs)
  tbs.end()
  return {
    raw: bytes,
    tbs: tbsElement.raw,
    issuer,
    thisUpdate,
    nextUpdate,
    revokedSerials,
    extensions,
    signatureAlgorithm,
    signature,
    memo: emptyMemo(),
  }
}

function readRevoked(tbs: DerReader): Set<string> {
  const serials = new Set<string>()
  const list = tbs.optional(TAG.sequence, 'revokedCertificates')
  if (list === undefined) return serials
  const entries = tbs.open(list)
  while (!entries.done) {
    const entry = entries.sequence('revokedCertificate')
    serials.add(toHex(entry.integer('userCertificate')))
    readTime(entry, 'revocationDate')
    if (!entry.done) refuseUnknownCritical(entry, readExtensionList(entry))
    entry.end()
  }
  return serials
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
