/** The standard extensions that a chain is judged by (RFC 5280 section 4.2). */
import { fromUtf8 } from '../bytes/text.ts'
import { DerReader, TAG, contextTag } from './der-reader.ts'
import { extensionValue } from './x509-certificate.ts'
import type { Certificate } from './x509-certificate.ts'
import { derBoolean, derInteger, derNamedBits, derSequence } from './der-writer.ts'
import type { Extension } from './x509-certificate.ts'

export const EXTENSION_OID = {
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  crlNumber: '2.5.29.20',
  crlReason: '2.5.29.21',
  deltaCrlIndicator: '2.5.29.27',
  issuingDistributionPoint: '2.5.29.28',
  certificatePolicies: '2.5.29.32',
  crlDistributionPoints: '2.5.29.31',
  authorityKeyIdentifier: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
} as const

const FORMAT = 'X.509 extension'

export interface BasicConstraints {
  readonly ca: boolean
  /** Absent means no limit. */
  readonly pathLength: number | undefined
}

/** Undefined when the certificate has none. @throws FormatError */
export function basicConstraints(certificate: Certificate): BasicConstraints | undefined {
  const value = extensionValue(certificate, EXTENSION_OID.basicConstraints)
  if (value === undefined) return undefined
  const outer = new DerReader(FORMAT, value)
  const reader = outer.sequence('basicConstraints')
  outer.end()
  const ca = reader.peek() === TAG.boolean ? reader.boolean('basicConstraints.cA') : false
  const pathLength = reader.done ? undefined : reader.smallInteger('basicConstraints.pathLen')
  reader.end()
  return { ca, pathLength }
}

export const KEY_USAGE = { digitalSignature: 0, keyCertSign: 5, cRLSign: 6 } as const

/** Which bits of keyUsage are set. */
export class KeyUsage {
  readonly #contents: Uint8Array
  readonly #bits: number

  /** @param contents - of the BIT STRING */
  constructor(contents: Uint8Array, bits: number) {
    this.#contents = contents
    this.#bits = bits
  }

  has(bit: number): boolean {
    const byte = this.#contents[1 + (bit >> 3)] ?? 0
    return bit < this.#bits && (byte & (0x80 >> (bit & 7))) !== 0
  }
}

/** Undefined when the certificate has no keyUsage. @throws FormatError */
export function keyUsage(certificate: Certificate): KeyUsage | undefined {
  const value = extensionValue(certificate, EXTENSION_OID.keyUsage)
  if (value === undefined) return undefined
  const outer = new DerReader(FORMAT, value)
  const contents = outer.contents(TAG.bitString, 'keyUsage')
  outer.end()
  const unused = contents[0] ?? 8
  const bytes = contents.length - 1
  if (unused > 7 || bytes > 2) outer.fail('keyUsage', 'malformed')
  return new KeyUsage(contents, bytes * 8 - unused)
}

/** Purposes as object identifiers; undefined when the certificate has no extendedKeyUsage. @throws FormatError */
export function extendedKeyUsage(certificate: Certificate): readonly string[] | undefined {
  const value = extensionValue(certificate, EXTENSION_OID.extendedKeyUsage)
  if (value === undefined) return undefined
  const outer = new DerReader(FORMAT, value)
  const list = outer.sequence('extKeyUsage')
  outer.end()
  const purposes: string[] = []
  while (!list.done) purposes.push(list.oid('keyPurposeId'))
  return purposes
}

/** URIs of cRLDistributionPoints.distributionPoint.fullName; empty when there are none. @throws FormatError */
export function crlUris(certificate: Certificate): string[] {
  const value = extensionValue(certificate, EXTENSION_OID.crlDistributionPoints)
  if (value === undefined) return []
  const outer = new DerReader(FORMAT, value)
  const points = outer.sequence('cRLDistributionPoints')
  outer.end()
  const uris: string[] = []
  while (!points.done) {
    const point = points.sequence('distributionPoint')
    const name = point.optional(contextTag(0, 'constructed'), 'distributionPoint')
    if (name === undefined) continue
    const fullName = point.open(name).enter(contextTag(0, 'constructed'), 'fullName')
    while (!fullName.done) {
      const general = fullName.any('generalName')
      if (general.tag === contextTag(6, 'primitive'))
        uris.push(fromUtf8(FORMAT, 'uniformResourceIdentifier', general.contents))
    }
  }
  return uris
}

/** A basicConstraints extension for a certificate template; critical. */
export function basicConstraintsExtension(ca: boolean, pathLength?: number): Extension {
  const parts = [
    ...(ca ? [derBoolean(true)] : []),
    ...(pathLength === undefined ? [] : [derInteger(pathLength)]),
  ]
  return { oid: EXTENSION_OID.basicConstraints, critical: true, value: derSequence(...parts) }
}

/** A keyUsage extension for a certificate template; critical. */
export function keyUsageExtension(...bits: readonly number[]): Extension {
  return { oid: EXTENSION_OID.keyUsage, critical: true, value: derNamedBits(bits) }
}
