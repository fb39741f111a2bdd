/**
 * X.509 v3 certificates (RFC 5280 section 4): bytes to values, no trust decisions. Lenient where vendors are: a serial
 * number may be 0 or negative (AMD's leaves have 0), extensions of unknown meaning keep their raw bytes.
 */
import { TAG, contextTag, readSequence } from './der-reader.ts'
import type { DerReader } from './der-reader.ts'
import { readKeyKind, readSignatureAlgorithm } from './x509-algorithm.ts'
import type { KeyKind, SignatureAlgorithm } from './x509-algorithm.ts'
import { emptyMemo } from './x509-memo.ts'
import type { X509Memo } from './x509-memo.ts'
import { readName } from './x509-name.ts'
import type { Name } from './x509-name.ts'
import { readTime } from './x509-time.ts'

const MAX_EXTENSIONS = 64

export interface Extension {
  readonly oid: string
  readonly critical: boolean
  /** Contents of extnValue: DER as a rule, raw bytes in some of AMD's. */
  readonly value: Uint8Array
}

export interface Certificate {
  /** Whole certificate in DER. */
  readonly raw: Uint8Array
  /** What the signature covers. */
  readonly tbs: Uint8Array
  /** Contents of the serial number INTEGER, big-endian two's complement. */
  readonly serial: Uint8Array
  readonly issuer: Name
  readonly subject: Name
  readonly notBefore: Date
  readonly notAfter: Date
  /** SubjectPublicKeyInfo in DER. */
  readonly spki: Uint8Array
  readonly keyKind: KeyKind
  readonly extensions: readonly Extension[]
  readonly signatureAlgorithm: SignatureAlgorithm
  readonly signature: Uint8Array
  readonly memo: X509Memo
}

/** @throws FormatError */
export function parseCertificate(bytes: Uint8Array): Certificate {
  const outer = readSequence('X.509 certificate', bytes)
  const tbsElement = outer.element(TAG.sequence, 'tbsCertificate')
  const outerAlgorithm = outer.element(TAG.sequence, 'signatureAlgorithm')
  const signature = outer.bitStringBytes('signatureValue')
  outer.end()

  const tbs = outer.open(tbsElement)
  const version = tbs.enter(contextTag(0, 'constructed'), 'version')
  if (version.smallInteger('version') !== 2) tbs.fail('version', 'not 3')
  version.end()
  const serial = tbs.integer('serialNumber')
  if (serial.length > 21) tbs.fail('serialNumber', 'longer than 20 bytes')
  const innerAlgorithm = tbs.element(TAG.sequence, 'signature')
  if (!innerAlgorithm.equals(outerAlgorithm))
    tbs.fail('signature', 'differs from signatureAlgorithm')
  const signatureAlgorithm = readSignatureAlgorithm(tbs.again(innerAlgorithm), 'signature')
  const issuer = readName(tbs, 'issuer')
  const validity = tbs.sequence('validity')
  const notBefore = readTime(validity, 'validity.notBefore')
  const notAfter = readTime(validity, 'validity.notAfter')
  validity.end()
  const subject = readName(tbs, 'subject')
  const spki = tbs.element(TAG.sequence, 'subjectPublicKeyInfo')
  const keyKind = readKeyKind(tbs.again(spki))
  tbs.optional(contextTag(1, 'primitive'), 'issuerUniqueID')
  tbs.optional(contextTag(2, 'primitive'), 'subjectUniqueID')
  const extensions = readExtensions(tbs)
  tbs.end()

  return {
    raw: bytes,
    tbs: tbsElement.raw,
    serial,
    issuer,
    subject,
    notBefore,
    notAfter,
    spki: spki.raw,
    keyKind,
    extensions,
    signatureAlgorithm,
    signature,
    memo: emptyMemo(),
  }
}

/** The raw value of an extension, undefined when there is none. */
export function extensionValue(certificate: Certificate, oid: string): Uint8Array | undefined {
  return certificate.extensions.find((extension) => extension.oid === oid)?.value
}

function readExtensions(tbs: DerReader): Extension[] {
  const wrapper = tbs.optional(contextTag(3, 'constructed'), 'extensions')
  if (wrapper === undefined) return []
  const outer = tbs.open(wrapper)
  const extensions = readExtensionList(outer)
  outer.end()
  return extensions
}

/** Extensions ::= SEQUENCE OF Extension; no OID twice. */
export function readExtensionList(reader: DerReader): Extension[] {
  const end = reader.descend(TAG.sequence, 'extensions')
  const extensions: Extension[] = []
  while (reader.offset < end) {
    if (extensions.length === MAX_EXTENSIONS) reader.fail('extensions', 'too many')
    const extensionEnd = reader.descend(TAG.sequence, 'extension')
    const oid = reader.oid('extension.extnID')
    const critical = reader.peek() === TAG.boolean ? reader.boolean('extension.critical') : false
    const value = reader.octetString('extension.extnValue')
    reader.close(extensionEnd, 'extension')
    if (hasOid(extensions, oid)) reader.fail('extension', `${oid} twice`)
    extensions.push({ oid, critical, value })
  }
  reader.close(end, 'extensions')
  return extensions
}

function hasOid(extensions: readonly Extension[], oid: string): boolean {
  for (const extension of extensions) if (extension.oid === oid) return true
  return false
}
