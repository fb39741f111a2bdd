/** X.509 certificates (RFC 5280): what the bytes say, without any trust. */
import { BuiltinError } from '../builtins/registry.ts'
import { decodeBase64 } from '../encoding/base64.ts'
import {
  bitString,
  integer,
  malformed,
  objectId,
  only,
  readNode,
  readNodes,
  text,
  time,
  type DerNode,
} from './der.ts'

export interface NameAttribute {
  readonly type: string
  readonly value: string
}

export interface Extension {
  readonly id: string
  readonly critical: boolean
  readonly value: Uint8Array
}

export interface Certificate {
  readonly raw: Uint8Array
  readonly tbs: Uint8Array
  readonly version: number
  readonly serialNumber: bigint
  readonly issuer: readonly NameAttribute[]
  readonly rawIssuer: Uint8Array
  readonly subject: readonly NameAttribute[]
  readonly rawSubject: Uint8Array
  readonly notBefore: Date
  readonly notAfter: Date
  readonly spki: Uint8Array
  readonly keyAlgorithm: string
  readonly signatureAlgorithm: string
  readonly signature: Uint8Array
  readonly extensions: readonly Extension[]
}

const SEQUENCE = 0x30

/** @throws BuiltinError */
export function parseCertificate(der: Uint8Array): Certificate {
  const [tbs, algorithm, signature, ...rest] = readNodes(only(der, SEQUENCE).bytes)
  if (tbs === undefined || algorithm === undefined || signature === undefined || rest.length > 0)
    malformed()
  const fields = readNodes(tbs.bytes)
  const isVersioned = fields[0]?.tag === 0xa0
  const version = isVersioned ? Number(integer(readNode((fields[0] as DerNode).bytes))) + 1 : 1
  const [serial, , issuer, validity, subject, spki, ...optional] = isVersioned
    ? fields.slice(1)
    : fields
  if (
    serial === undefined ||
    issuer === undefined ||
    validity === undefined ||
    subject === undefined ||
    spki === undefined
  )
    return malformed()
  const [notBefore, notAfter] = readNodes(validity.bytes)
  if (notBefore === undefined || notAfter === undefined) malformed()
  return {
    raw: der,
    tbs: tbs.whole,
    version,
    serialNumber: integer(serial),
    issuer: readName(issuer),
    rawIssuer: issuer.whole,
    subject: readName(subject),
    rawSubject: subject.whole,
    notBefore: time(notBefore),
    notAfter: time(notAfter),
    spki: spki.whole,
    keyAlgorithm: objectId(readNode(readNode(spki.bytes).bytes)),
    signatureAlgorithm: objectId(readNode(algorithm.bytes)),
    signature: bitString(signature),
    extensions: readExtensions(optional.find(({ tag }) => tag === 0xa3)),
  }
}

function readName(node: DerNode): NameAttribute[] {
  return readNodes(node.bytes).flatMap((set) =>
    readNodes(set.bytes).map((attribute) => {
      const [type, value] = readNodes(attribute.bytes)
      if (type === undefined || value === undefined) return malformed()
      return { type: objectId(type), value: text(value) }
    }),
  )
}

function readExtensions(node: DerNode | undefined): Extension[] {
  if (node === undefined) return []
  return readNodes(only(node.bytes, SEQUENCE).bytes).map((extension) => {
    const parts = readNodes(extension.bytes)
    const value = parts.at(-1)
    if (parts[0] === undefined || value?.tag !== 0x04) return malformed()
    return {
      id: objectId(parts[0]),
      critical: parts.length === 3 && parts[1]?.bytes[0] === 0xff,
      value: value.bytes,
    }
  })
}

/** Names of the subject alternative name extension by kind. */
export function alternativeNames({ extensions }: Certificate): {
  dns: string[]
  email: string[]
  uri: string[]
  ip: Uint8Array[]
} {
  const names = {
    dns: [] as string[],
    email: [] as string[],
    uri: [] as string[],
    ip: [] as Uint8Array[],
  }
  const extension = extensions.find(({ id }) => id === '2.5.29.17')
  if (extension === undefined) return names
  for (const node of readNodes(only(extension.value, SEQUENCE).bytes)) {
    const kind = node.tag & 0x1f
    if (kind === 1) names.email.push(text(node))
    else if (kind === 2) names.dns.push(text(node))
    else if (kind === 6) names.uri.push(text(node))
    else if (kind === 7) names.ip.push(node.bytes)
  }
  return names
}

/** The basic constraints; absent: no authority. */
export function basicConstraints({ extensions }: Certificate): {
  isAuthority: boolean
  maxPath: number | undefined
} {
  const extension = extensions.find(({ id }) => id === '2.5.29.19')
  const parts = extension === undefined ? [] : readNodes(only(extension.value, SEQUENCE).bytes)
  const isAuthority = parts[0]?.tag === 0x01 && parts[0].bytes[0] === 0xff
  const length = parts.find(({ tag }) => tag === 0x02)
  return { isAuthority, maxPath: length === undefined ? undefined : Number(integer(length)) }
}

/** The DER bodies of the certificates in PEM, in base64 of DER or of PEM. */
export function certificateBytes(given: string): Uint8Array[] {
  const pem = given.includes('-----BEGIN') ? given : pemInside(given)
  if (pem !== undefined) return pemBodies(pem)
  const der = decodeBase64(given, { url: false, padding: 'required' })
  if (der === undefined) throw new BuiltinError('x509: neither PEM nor base64')
  return readNodes(der).map(({ whole }) => whole)
}

function pemInside(given: string): string | undefined {
  const bytes = decodeBase64(given, { url: false, padding: 'required' })
  const inner = bytes === undefined ? '' : new TextDecoder().decode(bytes)
  return inner.includes('-----BEGIN') ? inner : undefined
}

/** The bodies of the blocks of one kind. */
export function pemBodies(pem: string, label = 'CERTIFICATE'): Uint8Array[] {
  const bodies: Uint8Array[] = []
  const begin = `-----BEGIN ${label}-----`
  const finish = `-----END ${label}-----`
  for (let at = pem.indexOf(begin); at !== -1; at = pem.indexOf(begin, at + begin.length)) {
    const end = pem.indexOf(finish, at)
    const body = end === -1 ? undefined : pem.slice(at + begin.length, end).replace(/\s/g, '')
    const der =
      body === undefined ? undefined : decodeBase64(body, { url: false, padding: 'required' })
    if (der === undefined) throw new BuiltinError('x509: malformed PEM')
    bodies.push(der)
  }
  if (bodies.length === 0) throw new BuiltinError('x509: no certificate in the PEM')
  return bodies
}
