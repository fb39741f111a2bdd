/** Certificates of attestation and endorsement keys (TCG EK Credential Profile), up to a root that the caller trusts. */
import { runtimeCrypto } from '#crypto'
import { equalBytes } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { DerReader, contextTag } from '../formats/der-reader.ts'
import { extensionValue } from '../formats/x509-certificate.ts'
import type { Certificate } from '../formats/x509-certificate.ts'
import {
  EXTENSION_OID,
  KEY_USAGE,
  basicConstraints,
  keyUsage,
  extendedKeyUsage,
} from '../formats/x509-extensions.ts'
import { isSignedBy } from '../formats/x509-verify.ts'

const MAX_DEPTH = 6
const MAX_ISSUERS = 4
/** Purposes of TPM keys: endorsement and attestation. Google gave the former to attestation keys too, so key usage alone tells them apart. */
const TPM_PURPOSES: ReadonlySet<string> = new Set(['2.23.133.8.1', '2.23.133.8.3'])
const KEY_ENCIPHERMENT = 2
const KEY_AGREEMENT = 4
/** Critical extensions that are judged here or say nothing of trust. Names in a TPM's subjectAltName are its maker and model. */
const UNDERSTOOD: ReadonlySet<string> = new Set([
  EXTENSION_OID.keyUsage,
  EXTENSION_OID.basicConstraints,
  EXTENSION_OID.subjectAltName,
  EXTENSION_OID.extendedKeyUsage,
  EXTENSION_OID.certificatePolicies,
])

export type TpmKeyUse = 'ak' | 'ek'

/** Leaf to root, or undefined. Dates are not judged. */
export async function findTpmChain(
  leaf: Certificate,
  candidates: readonly Certificate[],
  trustedRoots: readonly string[],
): Promise<readonly Certificate[] | undefined> {
  const chain = [leaf]
  for (let depth = 0; depth < MAX_DEPTH; depth++) {
    const current = chain.at(-1) as Certificate
    if (chain.length > 1 && trustedRoots.includes(await fingerprintOf(current))) return chain
    const issuer = await issuerOf(current, candidates, chain)
    if (issuer === undefined) return undefined
    chain.push(issuer)
  }
  return undefined
}

/** SHA-256 of the certificate in DER, lowercase hex. */
export async function fingerprintOf({ raw }: Certificate): Promise<string> {
  return toHex(await runtimeCrypto.digest('SHA-256', raw))
}

/**
 * Whether the leaf was made for that use, and nothing critical in it is unknown: an EK decrypts, an AK signs.
 *
 * @returns the problem, or undefined
 */
export function leafProblem(leaf: Certificate, use: TpmKeyUse): string | undefined {
  try {
    const unknown = unknownCritical(leaf)
    if (unknown !== undefined) return `critical extension ${unknown}`
    if (basicConstraints(leaf)?.ca === true) return 'is a CA'
    const uses = keyUsage(leaf)
    const wanted = use === 'ak' ? [KEY_USAGE.digitalSignature] : [KEY_ENCIPHERMENT, KEY_AGREEMENT]
    if (uses !== undefined && !wanted.some((bit) => uses.has(bit))) return 'key usage'
    const purposes = extendedKeyUsage(leaf)
    const ofTpm = purposes?.some((purpose) => TPM_PURPOSES.has(purpose)) ?? true
    return ofTpm ? undefined : 'extended key usage'
  } catch (error) {
    if (error instanceof FormatError) return error.message
    throw error
  }
}

async function issuerOf(
  certificate: Certificate,
  candidates: readonly Certificate[],
  chain: readonly Certificate[],
): Promise<Certificate | undefined> {
  const { signatureAlgorithm } = certificate
  // SHA-1 no longer binds a signature to what was signed.
  if (signatureAlgorithm.kind === 'rsa-pkcs1' && signatureAlgorithm.hash === 'sha1')
    return undefined
  const issuers = candidates.filter(
    (candidate) =>
      equalBytes(candidate.subject.raw, certificate.issuer.raw) &&
      !chain.includes(candidate) &&
      mayIssue(candidate, chain.length - 1),
  )
  for (const issuer of issuers.slice(0, MAX_ISSUERS))
    if (await isSignedBy(certificate, issuer)) return issuer
  return undefined
}

/** @param below - intermediates under it on this path */
function mayIssue(certificate: Certificate, below: number): boolean {
  try {
    const constraints = basicConstraints(certificate)
    if (constraints?.ca !== true || (constraints.pathLength ?? below) < below) return false
    if (unknownCritical(certificate) !== undefined) return false
    return keyUsage(certificate)?.has(KEY_USAGE.keyCertSign) !== false
  } catch (error) {
    if (error instanceof FormatError) return false
    throw error
  }
}

function unknownCritical({ extensions }: Certificate): string | undefined {
  return extensions.find(({ critical, oid }) => critical && !UNDERSTOOD.has(oid))?.oid
}

const GCE_INSTANCE = '1.3.6.1.4.1.11129.2.1.21'

export interface GceInstance {
  readonly zone: string
  readonly projectNumber: string
  readonly projectId: string
  readonly instanceId: string
  readonly instanceName: string
}

/**
 * The Google Compute Engine instance that a certificate was made for. Worth believing under Google's roots only.
 *
 * @returns undefined without the extension, and for an instance that is not of production
 * @throws FormatError
 */
export function gceInstance(certificate: Certificate): GceInstance | undefined {
  const value = extensionValue(certificate, GCE_INSTANCE)
  if (value === undefined) return undefined
  const outer = new DerReader('GCE instance', value)
  const reader = outer.sequence('instance')
  outer.end()
  const text = (field: string) => {
    const { tag, contents } = reader.any(field)
    if (tag !== 0x0c) reader.fail(field, 'not UTF-8')
    return new TextDecoder('utf-8', { fatal: false }).decode(contents)
  }
  const zone = text('zone')
  const projectNumber = unsigned(reader, 'projectNumber')
  const projectId = text('projectId')
  const instanceId = unsigned(reader, 'instanceId')
  const instanceName = text('instanceName')
  const properties = reader.optional(contextTag(0, 'constructed'), 'securityProperties')
  if (properties === undefined) return undefined
  const security = reader.open(properties).sequence('securityProperties')
  security.optional(contextTag(0, 'constructed'), 'securityVersion')
  const production = security.optional(contextTag(1, 'constructed'), 'isProduction')
  if (production === undefined || !security.open(production).boolean('isProduction'))
    return undefined
  return { zone, projectNumber, projectId, instanceId, instanceName }
}

/** A non-negative INTEGER of any size, in decimal. */
function unsigned(reader: DerReader, field: string): string {
  const contents = reader.integer(field)
  if ((contents[0] as number) >= 0x80 || contents.length > 9) reader.fail(field, 'out of range')
  return BigInt(`0x${toHex(contents)}`).toString()
}
