/** `crypto.*`: hashes, HMAC, certificates. */
import { fromBigInt } from '../number.ts'
import type { CryptoProvider, HashName } from '../crypto.ts'
import { encodeBase64, encodeHex, utf8 } from '../encoding/base64.ts'
import { formatTime, RFC3339 } from '../time/layout.ts'
import { RegoObject, type Value } from '../value.ts'
import {
  alternativeNames,
  basicConstraints,
  certificateBytes,
  parseCertificate,
  type Certificate,
  type NameAttribute,
} from '../x509/certificate.ts'
import { verifyChain } from '../x509/chain.ts'
import * as operand from './operands.ts'
import { BuiltinError, type Builtin, type BuiltinContext } from './registry.ts'

export function providerOf({ crypto }: BuiltinContext): CryptoProvider {
  if (crypto === undefined) throw new BuiltinError('no cryptography is available to this policy')
  return crypto
}

function hash(name: HashName): Builtin {
  return {
    arity: 1,
    call: (args, context) => {
      const text = operand.string(args, 0)
      context.step(text.length >> 6)
      return encodeHex(providerOf(context).hash(name, utf8(text)))
    },
  }
}

function hmac(name: HashName): Builtin {
  return {
    arity: 2,
    call: (args, context) => {
      const [text, key] = [operand.string(args, 0), operand.string(args, 1)]
      context.step(text.length >> 6)
      return encodeHex(providerOf(context).hmac(name, utf8(key), utf8(text)))
    },
  }
}

/** Same length, same characters, in time that says nothing about where they differ. */
function hmacEqual(args: readonly Value[]): boolean {
  const [a, b] = [utf8(operand.string(args, 0)), utf8(operand.string(args, 1))]
  if (a.length !== b.length) return false
  let difference = 0
  for (let at = 0; at < a.length; at++) difference |= (a[at] as number) ^ (b[at] as number)
  return difference === 0
}

const NAME_FIELDS: Readonly<Record<string, string>> = {
  '2.5.4.6': 'Country',
  '2.5.4.10': 'Organization',
  '2.5.4.11': 'OrganizationalUnit',
  '2.5.4.7': 'Locality',
  '2.5.4.8': 'Province',
  '2.5.4.9': 'StreetAddress',
  '2.5.4.17': 'PostalCode',
}

/** A name as Go's `pkix.Name` becomes JSON. */
function nameValue(attributes: readonly NameAttribute[]): Value {
  const lists = new Map<string, Value[]>()
  let commonName = ''
  let serialNumber = ''
  for (const { type, value } of attributes) {
    const field = NAME_FIELDS[type]
    if (field !== undefined) lists.set(field, [...(lists.get(field) ?? []), value])
    if (type === '2.5.4.3') commonName = value
    if (type === '2.5.4.5') serialNumber = value
  }
  return RegoObject.of([
    ...Object.values(NAME_FIELDS).map((field) => [field, lists.get(field) ?? null] as const),
    ['CommonName', commonName],
    ['SerialNumber', serialNumber],
    ['ExtraNames', null],
    [
      'Names',
      attributes.map(({ type, value }) =>
        RegoObject.of([
          ['Type', type.split('.').map(Number)],
          ['Value', value],
        ]),
      ),
    ],
  ])
}

function base64(bytes: Uint8Array): string {
  return encodeBase64(bytes, { url: false, padding: 'required' })
}

const KEY_ALGORITHMS: Readonly<Record<string, number>> = {
  '1.2.840.113549.1.1.1': 1,
  '1.2.840.10045.2.1': 3,
  '1.3.101.112': 4,
}
const SIGNATURE_ALGORITHMS: Readonly<Record<string, number>> = {
  '1.2.840.113549.1.1.5': 3,
  '1.2.840.113549.1.1.11': 4,
  '1.2.840.113549.1.1.12': 5,
  '1.2.840.113549.1.1.13': 6,
  '1.2.840.10045.4.1': 9,
  '1.2.840.10045.4.3.2': 10,
  '1.2.840.10045.4.3.3': 11,
  '1.2.840.10045.4.3.4': 12,
  '1.3.101.112': 16,
}

function keyUsage(certificate: Certificate): number {
  const extension = certificate.extensions.find(({ id }) => id === '2.5.29.15')
  if (extension === undefined) return 0
  let usage = 0
  // Go numbers the bits from the first; DER has the first bit on top.
  for (let bit = 0; bit < 9; bit++)
    if ((((extension.value[3 + (bit >> 3)] ?? 0) >> (7 - (bit & 7))) & 1) === 1) usage |= 1 << bit
  return usage
}

/** A certificate as Go's `x509.Certificate` becomes JSON, without the fields that need more than the bytes. */
function certificateValue(certificate: Certificate): Value {
  const names = alternativeNames(certificate)
  const { isAuthority, maxPath } = basicConstraints(certificate)
  const instant = (date: Date): string =>
    formatTime(BigInt(date.getTime()) * 1_000_000n, 'UTC', RFC3339)
  const listOf = (items: readonly string[]): Value => (items.length === 0 ? null : items)
  return RegoObject.of([
    ['Raw', base64(certificate.raw)],
    ['RawTBSCertificate', base64(certificate.tbs)],
    ['RawSubjectPublicKeyInfo', base64(certificate.spki)],
    ['RawSubject', base64(certificate.rawSubject)],
    ['RawIssuer', base64(certificate.rawIssuer)],
    ['Signature', base64(certificate.signature)],
    ['SignatureAlgorithm', SIGNATURE_ALGORITHMS[certificate.signatureAlgorithm] ?? 0],
    ['PublicKeyAlgorithm', KEY_ALGORITHMS[certificate.keyAlgorithm] ?? 0],
    ['Version', certificate.version],
    ['SerialNumber', fromBigInt(certificate.serialNumber)],
    ['Issuer', nameValue(certificate.issuer)],
    ['Subject', nameValue(certificate.subject)],
    ['NotBefore', instant(certificate.notBefore)],
    ['NotAfter', instant(certificate.notAfter)],
    ['KeyUsage', keyUsage(certificate)],
    [
      'Extensions',
      certificate.extensions.map(({ id, critical, value }) =>
        RegoObject.of([
          ['Id', id.split('.').map(Number)],
          ['Critical', critical],
          ['Value', base64(value)],
        ]),
      ),
    ],
    ['BasicConstraintsValid', certificate.extensions.some(({ id }) => id === '2.5.29.19')],
    ['IsCA', isAuthority],
    ['MaxPathLen', maxPath ?? (isAuthority ? -1 : 0)],
    ['MaxPathLenZero', maxPath === 0],
    ['DNSNames', listOf(names.dns)],
    ['EmailAddresses', listOf(names.email)],
    ['URIStrings', listOf(names.uri)],
    [
      'IPAddresses',
      names.ip.length === 0
        ? null
        : names.ip.map((bytes) => (bytes.length === 4 ? bytes.join('.') : encodeHex(bytes))),
    ],
  ])
}

function parseAll(args: readonly Value[]): Certificate[] {
  return certificateBytes(operand.string(args, 0)).map(parseCertificate)
}

/** `[true, chain]` from leaf to root, or `[false, []]`. */
function parseAndVerify(args: readonly Value[], context: BuiltinContext): Value {
  let certificates: Certificate[]
  try {
    certificates = parseAll(args)
  } catch (error) {
    if (error instanceof BuiltinError) return [false, []]
    throw error
  }
  const now = new Date(Number(context.nowNs / 1_000_000n))
  const chain = verifyChain(certificates, now, providerOf(context))
  return chain === undefined ? [false, []] : [true, chain.map(certificateValue)]
}

export const CRYPTO: Readonly<Record<string, Builtin>> = {
  'crypto.md5': hash('md5'),
  'crypto.sha1': hash('sha1'),
  'crypto.sha256': hash('sha256'),
  'crypto.hmac.md5': hmac('md5'),
  'crypto.hmac.sha1': hmac('sha1'),
  'crypto.hmac.sha256': hmac('sha256'),
  'crypto.hmac.sha512': hmac('sha512'),
  'crypto.hmac.equal': { arity: 2, call: hmacEqual },
  'crypto.x509.parse_certificates': {
    arity: 1,
    call: (args) => parseAll(args).map(certificateValue),
  },
  'crypto.x509.parse_and_verify_certificates': { arity: 1, call: parseAndVerify },
}
