/**
 * The broker's own keys: one for TLS, one that signs attestation tokens. Each is a P-256 key with a self-signed
 * certificate in the broker's directory, made at first start. Clients pin the key, so the certificate may be renewed.
 */
import {
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  randomBytes,
  X509Certificate,
  type KeyObject,
} from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CloisterError } from '@cloister/protocol/error'
import { replaceFileSync } from '@cloister/protocol/replace-file'
import { issueCertificate } from '@cloister/verifier/formats/x509-issue'
import {
  basicConstraintsExtension,
  KEY_USAGE,
  keyUsageExtension,
} from '@cloister/verifier/formats/x509-extensions'
import { NAME_OID } from '@cloister/verifier/formats/x509-name'
import { subjectAltNameExtension } from '@cloister/verifier/formats/x509-subject-alt-name'
import { keySigner, spkiOf } from '@cloister/verifier/node/key-signer'
import { encodePem } from '@cloister/verifier/formats/pem'

const DAY_MS = 86_400_000
const VALID_DAYS = 3650
/** A certificate that ends sooner is issued anew over the same key. */
const RENEW_DAYS = 90

export interface Identity {
  readonly key: KeyObject
  /** PEM */
  readonly keyPem: string
  readonly certificate: X509Certificate
  /** PEM */
  readonly certificatePem: string
  /** SHA-256 of the DER SubjectPublicKeyInfo, hex. */
  readonly spki: string
}

export interface IdentityOptions {
  /** File name without extension: `<name>.key` (0600) and `<name>.crt`. */
  readonly name: string
  readonly commonName: string
  /** DNS names and addresses for TLS; absent: not a TLS certificate. */
  readonly hosts?: readonly string[]
  /** A CA that issues end certificates and nothing else; absent: no CA. */
  readonly isAuthority?: boolean
  readonly now: number
}

/** @throws CloisterError `broker.storage` when a file cannot be read or is not what it should be */
export function loadIdentity(directory: string, options: IdentityOptions): Identity {
  const keyFile = join(directory, `${options.name}.key`)
  const certificateFile = join(directory, `${options.name}.crt`)
  try {
    if (!existsSync(keyFile)) replaceFileSync(keyFile, newKeyPem())
    const keyPem = readFileSync(keyFile, 'utf8')
    const key = createPrivateKey(keyPem)
    const found = existsSync(certificateFile) ? readFileSync(certificateFile, 'utf8') : undefined
    const certificatePem =
      found !== undefined && isUsable(found, key, options.now) ? found : selfSigned(key, options)
    if (certificatePem !== found) replaceFileSync(certificateFile, certificatePem, 0o644)
    const spki = createHash('sha256').update(spkiOf(key)).digest('hex')
    const certificate = new X509Certificate(certificatePem)
    return { key, keyPem, certificate, certificatePem, spki }
  } catch (cause) {
    throw new CloisterError('broker.storage', { where: keyFile, cause })
  }
}

function newKeyPem(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  return privateKey.export({ format: 'pem', type: 'pkcs8' }) as string
}

function isUsable(pem: string, key: KeyObject, now: number): boolean {
  const certificate = new X509Certificate(pem)
  return (
    certificate.checkPrivateKey(key) &&
    certificate.validToDate.getTime() > now + RENEW_DAYS * DAY_MS
  )
}

function selfSigned(key: KeyObject, options: IdentityOptions): string {
  const { commonName, hosts, isAuthority = false, now } = options
  const name = [{ oid: NAME_OID.commonName, value: commonName }]
  // TLS stacks refuse a CA's certificate as a server's.
  const extensions = [
    isAuthority ? basicConstraintsExtension(true, 0) : basicConstraintsExtension(false),
    keyUsageExtension(isAuthority ? KEY_USAGE.keyCertSign : KEY_USAGE.digitalSignature),
    ...(hosts === undefined ? [] : [subjectAltNameExtension(hosts)]),
  ]
  // A positive integer of 16 bytes (RFC 5280, 4.1.2.2).
  const serial = randomBytes(16)
  serial[0] = ((serial[0] as number) & 0x3f) | 0x40
  const template = {
    serial,
    issuer: name,
    subject: name,
    notBefore: new Date(now - DAY_MS),
    notAfter: new Date(now + VALID_DAYS * DAY_MS),
    spki: spkiOf(key),
    extensions,
  }
  return encodePem('CERTIFICATE', issueCertificate(template, keySigner(key)))
}
