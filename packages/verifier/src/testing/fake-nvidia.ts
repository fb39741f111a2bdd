/** A FAKE NVIDIA for tests: signs any report under its own root. Its names cannot be mistaken. Node, tests only. */
import { createHash, generateKeyPairSync } from 'node:crypto'
import { toBase64 } from '../bytes/base64.ts'
import { concatBytes } from '../bytes/concat.ts'
import { toUtf8 } from '../bytes/text.ts'
import { readSequence } from '../formats/der-reader.ts'
import {
  der,
  derBitString,
  derExplicit,
  derInteger,
  derOctetString,
} from '../formats/der-writer.ts'
import { derOid, derSequence } from '../formats/der-writer.ts'
import { ecdsaToDer } from '../crypto/ecdsa-der.ts'
import { OCSP_OID, encodeOcspRequest } from '../formats/ocsp.ts'
import { OID } from '../formats/x509-algorithm.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import type { Extension } from '../formats/x509-certificate.ts'
import {
  EXTENSION_OID,
  KEY_USAGE,
  basicConstraintsExtension,
  keyUsageExtension,
} from '../formats/x509-extensions.ts'
import { issueCertificate } from '../formats/x509-issue.ts'
import type { Signer } from '../formats/x509-issue.ts'
import { NAME_OID } from '../formats/x509-name.ts'
import { keySigner, spkiOf } from '../node/key-signer.ts'
import type { NvidiaRoots } from '../nvidia/appraise.ts'
import { parseReferenceManifest } from '../nvidia/manifest.ts'

export const FAKE_FWID = new Uint8Array(48).fill(5)

const CA = [basicConstraintsExtension(true), keyUsageExtension(KEY_USAGE.keyCertSign)]
const SIGNS = keyUsageExtension(KEY_USAGE.digitalSignature)

/** As Hopper writes it; `blackwell` as DiceTcbInfo. */
export function fwidExtension(fwid: Uint8Array, spki: Uint8Array, form = 'hopper'): Extension {
  const digest = derSequence(derOid(OID.sha384), derOctetString(fwid))
  const critical = false
  return form === 'hopper'
    ? { oid: '2.23.133.5.4.1', critical, value: derSequence(derInteger(1), spki, digest) }
    : {
        oid: '2.23.133.5.4.1.1',
        critical,
        value: derSequence(der(0x80, Uint8Array.of(65)), der(0xa6, digest)),
      }
}

/** `{index, hashes, active}` of a manifest's resources; index from 0. */
export interface FakeResource {
  readonly index: number
  readonly hashes: readonly string[]
  readonly active?: boolean
}

/** A signed reference manifest of that version. @param resources - of its payload */
export function fakeManifest(
  maker: FakeNvidia,
  version: string,
  resources: readonly FakeResource[],
  {
    product = 'FAKE1',
    signer = maker.signer(),
    certificates = maker.certificatesOf(signer),
  }: FakeManifestOptions = {},
): Uint8Array {
  const rows = resources.map(({ index, hashes, active = true }) => {
    const named = hashes.map((hash, at) => ` ns2:Hash${at}="${hash}"`).join('')
    return `<ns0:Resource type="Measurement" index="${index}" active="${active ? 'True' : 'False'}" alternatives="${hashes.length}"${named} name="Measurement_${index}" size="48"/>`
  })
  const chain = certificates.map(
    (der) => `<ds:X509Certificate>${toBase64(der)}</ds:X509Certificate>`,
  )
  const text = (digest: string, value: string) =>
    toUtf8(
      `<SoftwareIdentity xmlns="http://standards.iso.org/iso/19770/-2/2015/schema.xsd" xmlns:ns0="http://standards.iso.org/iso/19770/-2/2015/schema.xsd" xmlns:ns2="http://www.w3.org/2001/04/xmlenc#sha384" name="FAKE" tagId="FAKE">
<ns0:Meta colloquialVersion="${version}" product="${product}"/>
<ns0:Payload>${rows.join('')}</ns0:Payload>
<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2006/12/xml-c14n11"/><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"/><ds:Reference URI=""><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/><ds:Transform Algorithm="http://www.w3.org/2006/12/xml-c14n11"/></ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#sha384"/><ds:DigestValue>${digest}</ds:DigestValue></ds:Reference></ds:SignedInfo><ds:SignatureValue>${value}</ds:SignatureValue><ds:KeyInfo><ds:X509Data>${chain.join('')}</ds:X509Data></ds:KeyInfo></ds:Signature></SoftwareIdentity>`,
    )
  const emptyDigest = toBase64(new Uint8Array(48))
  const emptyValue = toBase64(new Uint8Array(96))
  // The samples of the real one show that the canonical form is right, so the fake may take it from the parser.
  const signatureOf = (bytes: Uint8Array) => parseReferenceManifest(bytes).signature
  const content = signatureOf(text(emptyDigest, emptyValue))?.content ?? new Uint8Array()
  const digest = createHash('sha384').update(content).digest('base64')
  const info = signatureOf(text(digest, emptyValue))?.signedInfo ?? new Uint8Array()
  return text(digest, toBase64(signer.signer.sign(info)))
}

export interface FakeManifestOptions {
  readonly product?: string
  readonly signer?: Authority
  readonly certificates?: readonly Uint8Array[]
}

export interface FakeOcspOptions {
  readonly status?: Uint8Array
  readonly thisUpdate?: Date
  /** Null: not said. */
  readonly nextUpdate?: Date | null
  readonly nonce?: Uint8Array
  /** Absent: the issuer signs itself. */
  readonly responder?: Authority
}

/** CertStatus values in DER. */
export const OCSP_STATUS = {
  good: der(0x80),
  unknown: der(0x82),
  revoked: (reason?: number): Uint8Array =>
    der(
      0xa1,
      derGeneralizedTime(new Date('2026-05-01')),
      ...(reason === undefined ? [] : [derExplicit(0, der(0x0a, Uint8Array.of(reason)))]),
    ),
} as const

/** What a responder says of a certificate. */
export async function fakeOcspResponse(
  certificate: Uint8Array,
  issuer: Authority,
  options: FakeOcspOptions = {},
): Promise<Uint8Array> {
  const { status = OCSP_STATUS.good, nonce, responder } = options
  const { thisUpdate = new Date('2026-05-31'), nextUpdate = new Date('2026-06-02') } = options
  const request = await encodeOcspRequest(
    parseCertificate(certificate),
    parseCertificate(issuer.der),
    new Uint8Array(1),
  )
  const id = readSequence('OCSP request', request)
    .sequence('tbs')
    .sequence('list')
    .sequence('request')
    .any('id').raw
  const answer = derSequence(
    id,
    status,
    derGeneralizedTime(thisUpdate),
    ...(nextUpdate === null ? [] : [derExplicit(0, derGeneralizedTime(nextUpdate))]),
  )
  const extension =
    nonce && derSequence(derOid(OCSP_OID.nonce), derOctetString(derOctetString(nonce)))
  const tbs = derSequence(
    der(0xa2, derOctetString(new Uint8Array(20))),
    derGeneralizedTime(thisUpdate),
    derSequence(answer),
    ...(extension === undefined ? [] : [derExplicit(1, derSequence(extension))]),
  )
  const { signer } = responder ?? issuer
  const basic = derSequence(
    tbs,
    derSequence(derOid(OID.ecdsaSha384)),
    derBitString(ecdsaToDer(signer.sign(tbs))),
    ...(responder === undefined ? [] : [derExplicit(0, derSequence(responder.der))]),
  )
  const body = derSequence(derOid(OCSP_OID.basicResponse), derOctetString(basic))
  return derSequence(der(0x0a, Uint8Array.of(0)), derExplicit(0, body))
}

function derGeneralizedTime(time: Date): Uint8Array {
  return der(0x18, toUtf8(`${time.toISOString().replaceAll(/[-:T]|\..*/g, '')}Z`))
}

export interface FakeDeviceOptions {
  readonly extensions?: (spki: Uint8Array) => readonly Extension[]
  readonly notBefore?: Date
  readonly notAfter?: Date
}

export interface Authority {
  readonly name: string
  readonly signer: Signer
  readonly der: Uint8Array
}

export class FakeNvidia {
  readonly root: Authority
  readonly issuer: Authority
  /** SHA-256 of the root, lowercase hex. */
  readonly fingerprint: string

  constructor() {
    this.root = issue('FAKE root', undefined, () => CA)
    this.issuer = issue('FAKE issuer', this.root, () => CA)
    this.fingerprint = createHash('sha256').update(this.root.der).digest('hex')
  }

  get roots(): NvidiaRoots {
    return { device: this.fingerprint, manifest: this.fingerprint }
  }

  device(options: FakeDeviceOptions = {}): Authority {
    const extensions = options.extensions ?? ((spki) => [SIGNS, fwidExtension(FAKE_FWID, spki)])
    return issue('FAKE device', this.issuer, extensions, options)
  }

  /** Signs manifests. */
  signer(options: FakeDeviceOptions = {}): Authority {
    return issue('FAKE manifest signer', this.issuer, () => [SIGNS], options)
  }

  certificatesOf(signer: Authority): readonly Uint8Array[] {
    return [signer.der, this.issuer.der, this.root.der]
  }

  /** Answers for certificates of the issuer given. @param extensions - absent: those of a responder */
  responder(issuer: Authority, options: FakeDeviceOptions = {}): Authority {
    const purpose = derSequence(derOid(OCSP_OID.signing))
    const own = [SIGNS, { oid: EXTENSION_OID.extendedKeyUsage, critical: false, value: purpose }]
    return issue('FAKE responder', issuer, options.extensions ?? (() => own), options)
  }

  certificates(device: Authority): readonly Uint8Array[] {
    return [this.issuer.der, this.root.der, device.der]
  }
}

/** Opaque fields by type; one measurement of index 1. */
export function fakeReport(
  { signer }: Pick<Authority, 'signer'>,
  opaque: Readonly<Record<number, Uint8Array>> = { 20: FAKE_FWID },
): Uint8Array {
  const u16 = (value: number) => Uint8Array.of(value & 0xff, value >> 8)
  const fields = Object.entries(opaque).map(([type, value]) =>
    concatBytes(u16(Number(type)), u16(value.length), value),
  )
  const data = concatBytes(...fields)
  const record = concatBytes(
    Uint8Array.of(1, 1),
    u16(51),
    Uint8Array.of(1),
    u16(48),
    new Uint8Array(48).fill(6),
  )
  const signed = concatBytes(
    Uint8Array.of(0x11, 0xe0, 1, 0xff),
    new Uint8Array(32).fill(7),
    Uint8Array.of(0, 0x11, 0x60, 0, 0, 1),
    u16(record.length),
    Uint8Array.of(0),
    record,
    new Uint8Array(32).fill(8),
    u16(data.length),
    data,
  )
  return concatBytes(signed, signer.sign(signed))
}

function issue(
  name: string,
  issuer: Authority | undefined,
  extensions: (spki: Uint8Array) => readonly Extension[],
  options: FakeDeviceOptions = {},
): Authority {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const signer = keySigner(privateKey)
  const spki = spkiOf(privateKey)
  const of = (value: string) => [{ oid: NAME_OID.commonName, value }]
  const certificate = issueCertificate(
    {
      serial: 1,
      issuer: of(issuer?.name ?? name),
      subject: of(name),
      notBefore: options.notBefore ?? new Date('2026-01-01'),
      notAfter: options.notAfter ?? new Date('2027-01-01'),
      spki,
      extensions: extensions(spki),
    },
    issuer?.signer ?? signer,
  )
  return { name, signer, der: certificate }
}
