/**
 * NVIDIA's Reference Integrity Manifest (TCG RIM information model): a SWID tag (ISO/IEC 19770-2) in XML that lists the accepted measurements of one driver or
 * VBIOS version, with an enveloped XML signature. Parsing decides nothing.
 */
import { FormatError } from '../bytes/format-error.ts'
import { fromBase64Lines } from '../bytes/base64.ts'
import { fromHex } from '../bytes/hex.ts'
import { toUtf8 } from '../bytes/text.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import type { Certificate } from '../formats/x509-certificate.ts'
import { canonicalXml, parseStrictXml } from './strict-xml.ts'
import type { XmlElement } from './strict-xml.ts'

const FORMAT = 'reference manifest'
const SWID = 'http://standards.iso.org/iso/19770/-2/2015/schema.xsd'
const DSIG = 'http://www.w3.org/2000/09/xmldsig#'
const SHA384 = 'http://www.w3.org/2001/04/xmlenc#sha384'

const ALGORITHM = {
  canonical: 'http://www.w3.org/2006/12/xml-c14n11',
  enveloped: 'http://www.w3.org/2000/09/xmldsig#enveloped-signature',
  signature: 'http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384',
  digest: 'http://www.w3.org/2001/04/xmldsig-more#sha384',
} as const

const MEASUREMENT_BYTES = 48
const MAX_INDEX = 254
const MAX_ALTERNATIVES = 64
const MAX_CERTIFICATES = 8

/** What a device may have measured at one place. */
export interface GoldenMeasurement {
  /** From 0; a report's own index is one more. */
  readonly index: number
  /** 48 bytes each, one of which must be measured. */
  readonly alternatives: readonly Uint8Array[]
}

export interface ManifestSignature {
  /** What the signature covers. */
  readonly signedInfo: Uint8Array
  /** r ‖ s, 96 bytes. */
  readonly value: Uint8Array
  /** SHA-384 that the signature names for the manifest without it. */
  readonly digest: Uint8Array
  /** The manifest without its signature, canonical: what must have that digest. */
  readonly content: Uint8Array
  /** Signer first, root last. */
  readonly certificates: readonly Certificate[]
}

export interface ReferenceManifest {
  /** `550.90.07` of a driver, `96.00.9F.00.01` of a VBIOS; absent where the tag does not say. */
  readonly version: string | undefined
  /** `GH100`, … */
  readonly product: string | undefined
  /** Those that are active. */
  readonly measurements: readonly GoldenMeasurement[]
  readonly signature: ManifestSignature | undefined
}

/** @throws FormatError on everything outside of the shape that NVIDIA's manifests have */
export function parseReferenceManifest(bytes: Uint8Array): ReferenceManifest {
  const root = parseStrictXml(bytes)
  expectName(root, SWID, 'SoftwareIdentity')
  const children = elementsOf(root)
  const [entity, meta, payload, signature] = inOrder(children, [
    [SWID, 'Entity'],
    [SWID, 'Meta'],
    [SWID, 'Payload'],
    [DSIG, 'Signature'],
  ])
  if (payload === undefined) throw new FormatError(FORMAT, 'Payload', 0, 'is missing')
  for (const leaf of [entity, meta]) if (leaf !== undefined) expectEmpty(leaf)
  return {
    version: meta && attributeOf(meta, '', 'colloquialVersion'),
    product: meta && attributeOf(meta, '', 'product'),
    measurements: readPayload(payload),
    signature: signature && readSignature(root, signature),
  }
}

function readPayload(payload: XmlElement): GoldenMeasurement[] {
  const indices = new Set<number>()
  const measurements = elementsOf(payload).flatMap((resource) => {
    const { index, active, alternatives } = readResource(resource)
    if (indices.has(index)) throw new FormatError(FORMAT, 'Resource', index, 'an index twice')
    indices.add(index)
    return active ? [{ index, alternatives }] : []
  })
  if (indices.size === 0) throw new FormatError(FORMAT, 'Payload', 0, 'is empty')
  return measurements
}

function readResource(resource: XmlElement) {
  expectName(resource, SWID, 'Resource')
  expectEmpty(resource)
  const own = (name: string) => attributeOf(resource, '', name)
  if (own('type') !== 'Measurement')
    throw new FormatError(FORMAT, 'Resource.type', 0, 'no measurement')
  if (own('size') !== `${MEASUREMENT_BYTES}`)
    throw new FormatError(FORMAT, 'Resource.size', 0, `not ${MEASUREMENT_BYTES}`)
  const index = wholeNumber('Resource.index', own('index'), MAX_INDEX)
  const active = own('active')
  if (active !== 'True' && active !== 'False')
    throw new FormatError(FORMAT, 'Resource.active', index, 'neither True nor False')
  const count = wholeNumber('Resource.alternatives', own('alternatives'), MAX_ALTERNATIVES)
  const hashes = Array.from({ length: count }, (_, alternative) =>
    attributeOf(resource, SHA384, `Hash${alternative}`),
  )
  const plain = ['type', 'index', 'active', 'alternatives', 'name', 'size'].filter(
    (name) => own(name) !== undefined,
  )
  if (count === 0 || plain.length + count !== resource.attributes.length)
    throw new FormatError(FORMAT, 'Resource', index, 'attributes of another number or name')
  const alternatives = hashes.map((hash) => {
    if (hash?.length !== MEASUREMENT_BYTES * 2)
      throw new FormatError(FORMAT, 'Resource.Hash', index, 'missing, or not of 48 bytes')
    return fromHex(hash)
  })
  return { index, active: active === 'True', alternatives }
}

/** Exactly the shape of an enveloped signature over the whole document; anything else could sign something else than is read. */
function readSignature(root: XmlElement, signature: XmlElement): ManifestSignature {
  const [info, value, keyInfo] = exactly(signature, ['SignedInfo', 'SignatureValue', 'KeyInfo'])
  const [method, algorithm, reference] = exactly(info, [
    'CanonicalizationMethod',
    'SignatureMethod',
    'Reference',
  ])
  expectAlgorithm(method, ALGORITHM.canonical)
  expectAlgorithm(algorithm, ALGORITHM.signature)
  const [only] = reference.attributes
  if (
    reference.attributes.length !== 1 ||
    only?.prefix !== '' ||
    only.local !== 'URI' ||
    only.value !== ''
  )
    throw new FormatError(FORMAT, 'Reference', 0, 'not to the whole document')
  const [transforms, digestMethod, digestValue] = exactly(reference, [
    'Transforms',
    'DigestMethod',
    'DigestValue',
  ])
  const [enveloped, canonical] = exactly(transforms, ['Transform', 'Transform'])
  expectAlgorithm(enveloped, ALGORITHM.enveloped)
  expectAlgorithm(canonical, ALGORITHM.canonical)
  expectAlgorithm(digestMethod, ALGORITHM.digest)
  const [data] = exactly(keyInfo, ['X509Data'])
  const certificates = elementsOf(data)
  if (certificates.length === 0 || certificates.length > MAX_CERTIFICATES)
    throw new FormatError(FORMAT, 'X509Data', certificates.length, 'no certificates, or too many')
  for (const certificate of certificates) expectName(certificate, DSIG, 'X509Certificate')
  for (const part of [signature, info, keyInfo, transforms, data]) expectNoAttributes(part)
  return {
    signedInfo: toUtf8(canonicalXml(info)),
    value: sized('SignatureValue', base64Of(value), 96),
    digest: sized('DigestValue', base64Of(digestValue), 48),
    content: toUtf8(canonicalXml(root, signature)),
    certificates: certificates.map((certificate) => parseCertificate(base64Of(certificate))),
  }
}

/** Child elements; text between them is white space. */
function elementsOf({ local, children }: XmlElement): XmlElement[] {
  return children.flatMap((child) => {
    if (typeof child !== 'string') return [child]
    if (child.trim() === '') return []
    throw new FormatError(FORMAT, local, 0, 'text between elements')
  })
}

type FullName = readonly [namespace: string, local: string]

/** Each at its place or absent; what does not fit is refused. */
function inOrder<const Names extends readonly FullName[]>(
  children: readonly XmlElement[],
  names: Names,
): { readonly [Index in keyof Names]: XmlElement | undefined } {
  let at = 0
  const found = names.map(([namespace, local]) => {
    const child = children[at]
    if (child?.namespace !== namespace || child.local !== local) return undefined
    at++
    return child
  })
  const next = children[at]
  if (next !== undefined)
    throw new FormatError(FORMAT, next.local.slice(0, 64), at, 'not expected here')
  return found as { readonly [Index in keyof Names]: XmlElement | undefined }
}

/** Exactly these children of XML-DSig, in this order. */
function exactly<const Names extends readonly string[]>(
  parent: XmlElement,
  names: Names,
): { readonly [Index in keyof Names]: XmlElement } {
  const children = elementsOf(parent)
  if (children.length !== names.length)
    throw new FormatError(FORMAT, parent.local, children.length, `not ${names.join(', ')}`)
  for (const [index, name] of names.entries()) expectName(children[index], DSIG, name)
  return children as { readonly [Index in keyof Names]: XmlElement } & XmlElement[]
}

function expectName(element: XmlElement | undefined, namespace: string, local: string): void {
  if (element?.namespace !== namespace || element.local !== local)
    throw new FormatError(FORMAT, local, 0, 'is missing, or something else is there')
}

function expectEmpty(element: XmlElement): void {
  if (element.children.length > 0) throw new FormatError(FORMAT, element.local, 0, 'is not empty')
}

function expectNoAttributes(element: XmlElement): void {
  if (element.attributes.length > 0)
    throw new FormatError(FORMAT, element.local, 0, 'has attributes')
}

function expectAlgorithm(element: XmlElement, algorithm: string): void {
  expectEmpty(element)
  if (element.attributes.length !== 1 || attributeOf(element, '', 'Algorithm') !== algorithm)
    throw new FormatError(FORMAT, element.local, 0, `another algorithm than ${algorithm}`)
}

/** By namespace; an attribute without a prefix has none. */
function attributeOf(element: XmlElement, namespace: string, local: string): string | undefined {
  return element.attributes.find(
    (attribute) =>
      attribute.local === local &&
      (attribute.prefix === '' ? '' : element.scope.get(attribute.prefix)) === namespace,
  )?.value
}

function base64Of({ local, attributes, children }: XmlElement): Uint8Array {
  const [text, ...others] = children
  if (typeof text !== 'string' || others.length > 0 || attributes.length > 0)
    throw new FormatError(FORMAT, local, 0, 'not text alone')
  return fromBase64Lines(toUtf8(text))
}

function sized(field: string, bytes: Uint8Array, size: number): Uint8Array {
  if (bytes.length !== size)
    throw new FormatError(FORMAT, field, 0, `${bytes.length} bytes, wanted ${size}`)
  return bytes
}

function wholeNumber(field: string, text: string | undefined, limit: number): number {
  const number = text !== undefined && /^\d{1,4}$/.test(text) ? Number(text) : Number.NaN
  if (!(number <= limit)) throw new FormatError(FORMAT, field, 0, `not a number up to ${limit}`)
  return number
}
