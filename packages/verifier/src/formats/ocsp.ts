/** The Online Certificate Status Protocol (RFC 6960): requests for one certificate, and basic responses. Bytes to values; who signed is judged by the caller. */
import { runtimeCrypto } from '#crypto'
import { equalBytes } from '../bytes/equal.ts'
import type { DigestAlgorithm } from '../crypto/crypto.ts'
import { DerReader, TAG, contextTag, isMinimalInteger, readSequence } from './der-reader.ts'
import { der, derExplicit, derNull, derOctetString, derOid, derSequence } from './der-writer.ts'
import { OID, readSignatureAlgorithm } from './x509-algorithm.ts'
import type { SignatureAlgorithm } from './x509-algorithm.ts'
import { parseCertificate, readExtensionList } from './x509-certificate.ts'
import type { Certificate } from './x509-certificate.ts'
import { readTime } from './x509-time.ts'

const FORMAT = 'OCSP response'

export const OCSP_OID = {
  basicResponse: '1.3.6.1.5.5.7.48.1.1',
  nonce: '1.3.6.1.5.5.7.48.1.2',
  signing: '1.3.6.1.5.5.7.3.9',
} as const

const SUCCESSFUL = 0
const LIMITS = { bytes: 64 << 10, responses: 64, certificates: 4 } as const

const HASHES: Readonly<Record<string, DigestAlgorithm>> = {
  '1.3.14.3.2.26': 'SHA-1',
  [OID.sha256]: 'SHA-256',
  [OID.sha384]: 'SHA-384',
  [OID.sha512]: 'SHA-512',
}

export type OcspStatus =
  | { readonly kind: 'good' }
  /** @property reason - CRLReason of RFC 5280 section 5.3.1; undefined when not said. 6 is certificateHold. */
  | { readonly kind: 'revoked'; readonly at: Date; readonly reason: number | undefined }
  | { readonly kind: 'unknown' }

export interface CertificateId {
  readonly hash: DigestAlgorithm
  readonly issuerNameHash: Uint8Array
  readonly issuerKeyHash: Uint8Array
  /** Contents of the INTEGER. */
  readonly serial: Uint8Array
}

export interface OcspAnswer {
  readonly id: CertificateId
  readonly status: OcspStatus
  readonly thisUpdate: Date
  /** Undefined: newer information is always available, so the answer is worth nothing later. */
  readonly nextUpdate: Date | undefined
}

export interface OcspResponse {
  readonly tbs: Uint8Array
  readonly signatureAlgorithm: SignatureAlgorithm
  readonly signature: Uint8Array
  readonly producedAt: Date
  readonly answers: readonly OcspAnswer[]
  /** Contents of the nonce extension's OCTET STRING; undefined when there is none. */
  readonly nonce: Uint8Array | undefined
  /** Of the responder, and what leads to its issuer. */
  readonly certificates: readonly Certificate[]
}

/** A response that is not `successful`, of another type than basic, or with a critical extension is refused. @throws FormatError */
export function parseOcspResponse(bytes: Uint8Array): OcspResponse {
  const outer = readSequence(FORMAT, bytes)
  if (bytes.length > LIMITS.bytes) outer.fail('length', 'too long')
  const [status] = outer.element(TAG.enumerated, 'responseStatus').contents
  if (status !== SUCCESSFUL) outer.fail('responseStatus', `${status}, wanted successful`)
  const wrapper = outer.enter(contextTag(0, 'constructed'), 'responseBytes')
  outer.end()
  const typed = wrapper.sequence('responseBytes')
  wrapper.end()
  if (typed.oid('responseType') !== OCSP_OID.basicResponse)
    typed.fail('responseType', 'not a basic response')
  const basic = readSequence(FORMAT, typed.octetString('response'))
  typed.end()

  const tbsElement = basic.element(TAG.sequence, 'tbsResponseData')
  const signatureAlgorithm = readSignatureAlgorithm(basic, 'signatureAlgorithm')
  const signature = basic.bitStringBytes('signature')
  const certificates = readCertificates(basic)
  basic.end()

  const tbs = basic.open(tbsElement)
  if (tbs.optional(contextTag(0, 'constructed'), 'version') !== undefined)
    tbs.fail('version', 'the default is written, or another version')
  const responder = tbs.any('responderID').tag
  if (responder !== contextTag(1, 'constructed') && responder !== contextTag(2, 'constructed'))
    tbs.fail('responderID', 'neither by name nor by key')
  const producedAt = readTime(tbs, 'producedAt')
  const list = tbs.sequence('responses')
  const answers: OcspAnswer[] = []
  while (!list.done) {
    if (answers.length === LIMITS.responses) list.fail('responses', 'too many')
    answers.push(readAnswer(list.sequence('singleResponse')))
  }
  const nonce = readNonce(tbs)
  tbs.end()
  return {
    tbs: tbsElement.raw,
    signatureAlgorithm,
    signature,
    producedAt,
    answers,
    nonce,
    certificates,
  }
}

/** A request for the status of one certificate, by SHA-384, with a nonce. @param nonce - 1 to 48 bytes; NVIDIA's responder takes 48 */
export async function encodeOcspRequest(
  certificate: Certificate,
  issuer: Certificate,
  nonce: Uint8Array,
): Promise<Uint8Array<ArrayBuffer>> {
  const { nameHash, keyHash } = await issuerHashes(issuer, 'SHA-384')
  const id = derSequence(
    derSequence(derOid(OID.sha384), derNull()),
    derOctetString(nameHash),
    derOctetString(keyHash),
    der(TAG.integer, certificate.serial),
  )
  const extension = derSequence(derOid(OCSP_OID.nonce), derOctetString(derOctetString(nonce)))
  return derSequence(
    derSequence(derSequence(derSequence(id)), derExplicit(2, derSequence(extension))),
  )
}

/** The answer about that certificate; undefined when there is none. */
export async function answerAbout(
  { answers }: OcspResponse,
  certificate: Certificate,
  issuer: Certificate,
): Promise<OcspAnswer | undefined> {
  for (const answer of answers) {
    const { hash, issuerNameHash, issuerKeyHash, serial } = answer.id
    if (!equalBytes(serial, certificate.serial)) continue
    const { nameHash, keyHash } = await issuerHashes(issuer, hash)
    if (equalBytes(issuerNameHash, nameHash) && equalBytes(issuerKeyHash, keyHash)) return answer
  }
  return undefined
}

async function issuerHashes(issuer: Certificate, hash: DigestAlgorithm) {
  const spki = readSequence(FORMAT, issuer.spki)
  spki.sequence('algorithm')
  const key = spki.bitStringBytes('subjectPublicKey')
  return {
    nameHash: await runtimeCrypto.digest(hash, issuer.subject.raw),
    keyHash: await runtimeCrypto.digest(hash, key),
  }
}

function readAnswer(reader: DerReader): OcspAnswer {
  const id = readId(reader.sequence('certID'))
  const status = readStatus(reader)
  const thisUpdate = readTime(reader, 'thisUpdate')
  const next = reader.optional(contextTag(0, 'constructed'), 'nextUpdate')
  const nextUpdate = next === undefined ? undefined : readTime(reader.open(next), 'nextUpdate')
  const extensions = reader.optional(contextTag(1, 'constructed'), 'singleExtensions')
  if (extensions !== undefined) refuseCritical(reader.open(extensions))
  reader.end()
  return { id, status, thisUpdate, nextUpdate }
}

function readId(reader: DerReader): CertificateId {
  const algorithm = reader.sequence('hashAlgorithm')
  const oid = algorithm.oid('hashAlgorithm')
  algorithm.optional(TAG.null, 'hashAlgorithm')
  algorithm.end()
  const hash = HASHES[oid] ?? reader.fail('hashAlgorithm', 'is not known')
  const issuerNameHash = reader.octetString('issuerNameHash')
  const issuerKeyHash = reader.octetString('issuerKeyHash')
  const serial = reader.integer('serialNumber')
  reader.end()
  return { hash, issuerNameHash, issuerKeyHash, serial }
}

function readStatus(reader: DerReader): OcspStatus {
  const element = reader.any('certStatus')
  switch (element.tag) {
    case contextTag(0, 'primitive'):
      if (element.contents.length > 0) reader.fail('certStatus', 'NULL is not empty')
      return { kind: 'good' }
    case contextTag(2, 'primitive'):
      if (element.contents.length > 0) reader.fail('certStatus', 'NULL is not empty')
      return { kind: 'unknown' }
    case contextTag(1, 'constructed'): {
      const revoked = reader.open(element)
      const at = readTime(revoked, 'revocationTime')
      const wrapper = revoked.optional(contextTag(0, 'constructed'), 'revocationReason')
      const reason = wrapper && revoked.open(wrapper).element(TAG.enumerated, 'reason').contents
      revoked.end()
      if (reason !== undefined && (reason.length !== 1 || !isMinimalInteger(reason)))
        reader.fail('revocationReason', 'malformed')
      return { kind: 'revoked', at, reason: reason?.[0] }
    }
    default:
      return reader.fail('certStatus', 'neither good, revoked nor unknown')
  }
}

function readCertificates(basic: DerReader): Certificate[] {
  const wrapper = basic.optional(contextTag(0, 'constructed'), 'certs')
  if (wrapper === undefined) return []
  const list = basic.open(wrapper).sequence('certs')
  const certificates: Certificate[] = []
  while (!list.done) {
    if (certificates.length === LIMITS.certificates) list.fail('certs', 'too many')
    certificates.push(parseCertificate(list.element(TAG.sequence, 'certificate').raw))
  }
  return certificates
}

function readNonce(tbs: DerReader): Uint8Array | undefined {
  const wrapper = tbs.optional(contextTag(1, 'constructed'), 'responseExtensions')
  if (wrapper === undefined) return undefined
  const extensions = refuseCritical(tbs.open(wrapper))
  const value = extensions.find(({ oid }) => oid === OCSP_OID.nonce)?.value
  if (value === undefined) return undefined
  const reader = new DerReader(FORMAT, value)
  const nonce = reader.octetString('nonce')
  reader.end()
  return nonce
}

function refuseCritical(reader: DerReader) {
  const extensions = readExtensionList(reader)
  reader.end()
  if (extensions.some(({ critical, oid }) => critical && oid !== OCSP_OID.nonce))
    reader.fail('extensions', 'a critical one is not understood')
  return extensions
}
