/** Certificates of endorsement keys: TCG EK Credential Profile for TPM family 2.0, level 0, revision 2.x, section 3. */
import { createHash, createPublicKey } from 'node:crypto'
import {
  der,
  derExplicit,
  derInteger,
  derOctetString,
  derOid,
  derSequence,
  derSetOf,
  derUtf8String,
} from '@cloister/verifier/formats/der-writer'
import { contextTag } from '@cloister/verifier/formats/der-reader'
import type { Extension } from '@cloister/verifier/formats/x509-certificate'
import {
  basicConstraintsExtension,
  EXTENSION_OID,
  KEY_USAGE,
  keyUsageExtension,
} from '@cloister/verifier/formats/x509-extensions'
import { issueCertificate, type Signer } from '@cloister/verifier/formats/x509-issue'
import { encodeName, NAME_OID, type NameAttribute } from '@cloister/verifier/formats/x509-name'

const TCG = {
  manufacturer: '2.23.133.2.1',
  model: '2.23.133.2.2',
  version: '2.23.133.2.3',
  specification: '2.23.133.2.16',
  ekCertificate: '2.23.133.8.1',
} as const
const SUBJECT_DIRECTORY_ATTRIBUTES = '2.5.29.9'
/** RFC 5280, 4.2.1.3; an endorsement key opens what is encrypted to it. */
const ENCIPHERMENT = { rsa: 2, ec: 4 } as const

/** What a TPM says of itself. */
export interface TpmModel {
  /** `id:` and eight hex digits of the TCG's registry. */
  readonly manufacturer: string
  readonly model: string
  /** `id:` and hex digits. */
  readonly version: string
  /** `2.0`. */
  readonly family: string
  readonly level: number
  readonly revision: number
}

export interface EkSubject {
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array
  /** Of the VM. */
  readonly commonName: string
  readonly tpm: TpmModel
}

export interface AuthorityNaming {
  readonly issuer: readonly NameAttribute[]
  /** Of the authority, DER. */
  readonly authoritySpki: Uint8Array
  readonly serial: Uint8Array
  readonly notBefore: Date
  readonly notAfter: Date
}

/** The authority's own certificate. */
export function issueAuthority(naming: AuthorityNaming, signer: Signer): Uint8Array {
  const { issuer, authoritySpki: spki } = naming
  const extensions = [
    basicConstraintsExtension(true, 0),
    keyUsageExtension(KEY_USAGE.keyCertSign, KEY_USAGE.cRLSign),
    subjectKeyIdentifier(spki),
  ]
  return issueCertificate({ ...naming, subject: issuer, spki, extensions }, signer)
}

export function issueEkCertificate(
  { spki, commonName, tpm }: EkSubject,
  naming: AuthorityNaming,
  signer: Signer,
): Uint8Array {
  const type = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  const usage = type.asymmetricKeyType === 'rsa' ? ENCIPHERMENT.rsa : ENCIPHERMENT.ec
  const extensions = [
    basicConstraintsExtension(false),
    keyUsageExtension(usage),
    tpmName(tpm),
    tpmSpecification(tpm),
    plain(EXTENSION_OID.extendedKeyUsage, derSequence(derOid(TCG.ekCertificate))),
    plain(
      EXTENSION_OID.authorityKeyIdentifier,
      derSequence(der(contextTag(0, 'primitive'), keyId(naming.authoritySpki))),
    ),
    subjectKeyIdentifier(spki),
  ]
  const subject = [{ oid: NAME_OID.commonName, value: commonName }]
  return issueCertificate({ ...naming, subject, spki, extensions }, signer)
}

/** Section 3.2.9: the TPM's maker as a directory name, which is explicitly tagged as names of CHOICE type are. */
function tpmName({ manufacturer, model, version }: TpmModel): Extension {
  const name = encodeName([
    { oid: TCG.manufacturer, value: manufacturer },
    { oid: TCG.model, value: model },
    { oid: TCG.version, value: version },
  ])
  return plain(EXTENSION_OID.subjectAltName, derSequence(derExplicit(4, name)))
}

/** Section 3.2.10. */
function tpmSpecification({ family, level, revision }: TpmModel): Extension {
  const specification = derSequence(derUtf8String(family), derInteger(level), derInteger(revision))
  const attribute = derSequence(derOid(TCG.specification), derSetOf(specification))
  return plain(SUBJECT_DIRECTORY_ATTRIBUTES, derSequence(attribute))
}

function subjectKeyIdentifier(spki: Uint8Array): Extension {
  return plain(EXTENSION_OID.subjectKeyIdentifier, derOctetString(keyId(spki)))
}

/** RFC 7093, method 1, over the whole SubjectPublicKeyInfo: any unique value does. */
function keyId(spki: Uint8Array): Uint8Array {
  return createHash('sha256').update(spki).digest().subarray(0, 20)
}

function plain(oid: string, value: Uint8Array): Extension {
  return { oid, critical: false, value }
}
