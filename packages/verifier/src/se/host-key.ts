/**
 * Who vouches for a host key: the host key document, IBM's signing service, an intermediate authority, a root that the caller named
 * (s390-tools, "Verification of host key documents"). Nothing here depends on time.
 */
import { runtimeCrypto } from '#crypto'
import { equalBytes } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { toDer } from '../formats/pem.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import type { Certificate } from '../formats/x509-certificate.ts'
import { KEY_USAGE, basicConstraints, keyUsage } from '../formats/x509-extensions.ts'
import type { KeyUsage } from '../formats/x509-extensions.ts'
import { NAME_OID, nameValues } from '../formats/x509-name.ts'
import type { Name } from '../formats/x509-name.ts'
import { isSignedBy } from '../formats/x509-verify.ts'
import type { CheckSink } from '../result/check.ts'
import type { SeCheckCode } from './check-codes.ts'

type Checks = CheckSink<SeCheckCode>

const MAX_CERTIFICATES = 64
const MAX_DEPTH = 6
const SIGNING_SERVICE = 'Key Signing Service'
/** IBM moved: names in host key documents and in the signing certificate may differ in this alone. */
const SAME_PLACE: ReadonlySet<string> = new Set(['Armonk', 'Poughkeepsie'])

export interface HostKeyChain {
  /** Host key document first, then the signing certificate, root last. */
  readonly certificates: readonly Certificate[]
  /** SHA-256 of the root, lowercase hex. */
  readonly root: string
}

/** @param roots - SHA-256 fingerprints, lowercase hex */
export async function hostKeyChain(
  inputs: readonly Uint8Array[],
  roots: readonly string[],
  checks: Checks,
): Promise<HostKeyChain | undefined> {
  const certificates = parseCertificates(inputs, checks)
  if (certificates === undefined) return undefined
  const leaf = certificates.find(({ issuer }) => isSigningService(issuer))
  if (leaf === undefined) {
    checks.add('se.host-key.missing', 'undecided')
    return undefined
  }
  checks.add('se.host-key.missing', 'pass')
  checks.require('se.host-key.unsupported', leaf.keyKind === 'P-521', { received: leaf.keyKind })
  const chain = chainFrom(leaf, certificates)
  const last = chain.at(-1) as Certificate
  const whole = chain.length > 2 && isSameName(last.issuer, last.subject)
  const where = `${chain.length} certificates in line`
  if (!checks.require('se.endorsement.incomplete', whole, { where })) return undefined
  const root = toHex(await runtimeCrypto.digest('SHA-256', last.raw))
  const trusted = checks.require('se.endorsement.untrusted-root', roots.includes(root), {
    expected: roots.length === 0 ? 'nothing' : roots.join(' or '),
    received: root,
  })
  const right = checkRights(chain, checks)
  const signed = await checkSignatures(chain, checks)
  return trusted && right && signed && leaf.keyKind === 'P-521'
    ? { certificates: chain, root }
    : undefined
}

function parseCertificates(
  inputs: readonly Uint8Array[],
  checks: Checks,
): readonly Certificate[] | undefined {
  try {
    const ders = toDer(inputs)
    if (ders.length > MAX_CERTIFICATES)
      throw new FormatError('endorsements', 'count', 0, `${ders.length} certificates`)
    return ders.map(parseCertificate)
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    checks.add('se.endorsement.malformed', 'fail', { received: error.message })
    return undefined
  }
}

function chainFrom(leaf: Certificate, certificates: readonly Certificate[]): Certificate[] {
  const chain = [leaf]
  for (let current = leaf; chain.length < MAX_DEPTH;) {
    if (isSameName(current.issuer, current.subject)) break
    const { issuer } = current
    const next = certificates.find(({ subject }) => isSameName(subject, issuer))
    if (next === undefined) break
    chain.push(next)
    current = next
  }
  return chain
}

/** The signing certificate is no authority: its right is its name, by which it was found. All above it are authorities. */
function checkRights(chain: readonly Certificate[], checks: Checks): boolean {
  const [, signer, ...authorities] = chain
  const right =
    signer !== undefined &&
    mayStand(signer, (ca, usage) => !ca && usage.has(KEY_USAGE.digitalSignature)) &&
    authorities.every((authority) =>
      mayStand(authority, (ca, usage) => ca && usage.has(KEY_USAGE.keyCertSign)),
    )
  return checks.require('se.endorsement.constraints', right)
}

function mayStand(
  certificate: Certificate,
  isRight: (ca: boolean, usage: KeyUsage) => boolean,
): boolean {
  try {
    const usage = keyUsage(certificate)
    return usage !== undefined && isRight(basicConstraints(certificate)?.ca === true, usage)
  } catch (error) {
    if (error instanceof FormatError) return false
    throw error
  }
}

async function checkSignatures(chain: readonly Certificate[], checks: Checks): Promise<boolean> {
  for (const [at, certificate] of chain.entries())
    if (!(await isSignedBy(certificate, chain[at + 1] ?? certificate))) {
      const where = `certificate ${at}, host key document is 0`
      return checks.require('se.endorsement.signature-invalid', false, { where })
    }
  return checks.require('se.endorsement.signature-invalid', true)
}

function isSigningService(name: Name): boolean {
  const units = nameValues(name, NAME_OID.organizationalUnit)
  return units.some((unit) => unit.endsWith(SIGNING_SERVICE))
}

/** The same attributes in any order. */
function isSameName(a: Name, b: Name): boolean {
  return equalBytes(a.raw, b.raw) || textOf(a) === textOf(b)
}

function textOf({ attributes }: Name): string {
  const parts = attributes.map(({ oid, value }) =>
    JSON.stringify([oid, oid === NAME_OID.locality && SAME_PLACE.has(value) ? 'IBM' : value]),
  )
  return parts.toSorted().join()
}
