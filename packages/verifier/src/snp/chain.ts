/**
 * From a VCEK or VLEK to a pinned root (AMD 57230): names, CA rights and signatures. Nothing here depends on time, so a chain that
 * was found can be kept.
 */
import { runtimeCrypto } from '#crypto'
import { equalBytes } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import type { PublicKey } from '../crypto/crypto.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import type { Certificate } from '../formats/x509-certificate.ts'
import { KEY_USAGE, basicConstraints, crlUris, keyUsage } from '../formats/x509-extensions.ts'
import { commonName } from '../formats/x509-name.ts'
import { isSignedBy, keyOf } from '../formats/x509-verify.ts'
import type { CheckSink } from '../result/check.ts'
import { amdCertificates } from './amd-certificates.ts'
import { chainName, isNamed, SIMULATED_NAMING } from './anchors.ts'
import type { ChainRole, SnpRoot } from './anchors.ts'
import type { SnpCheckCode } from './check-codes.ts'
import { endorsementKind, readEndorsement } from './endorsement.ts'
import type { Endorsement } from './endorsement.ts'
import { PRODUCT_LINES } from './product.ts'

export interface SnpChain {
  readonly root: SnpRoot
  readonly ark: Certificate
  readonly intermediate: Certificate
  readonly leaf: Certificate
  readonly leafKey: PublicKey
  readonly kind: 'vcek' | 'vlek'
  readonly endorsement: Endorsement
}

export interface ChainRequest {
  /** Which leaf the report names. */
  readonly kind: 'vcek' | 'vlek'
  readonly certificates: readonly Certificate[]
  readonly hardwareRoots: readonly SnpRoot[]
  readonly simulatedRoots: readonly string[]
  /** Picks among several leaves of the right kind. */
  readonly isForReport: (leaf: Certificate) => boolean
}

type Checks = CheckSink<SnpCheckCode>

/** More issuers of one name than this are not tried: each costs a signature check. */
const MAX_ISSUERS = 4

let builtIn: readonly Certificate[] | undefined

/** The chain, or undefined with the reason among the checks. */
export async function findChain(
  request: ChainRequest,
  checks: Checks,
): Promise<SnpChain | undefined> {
  const leaf = pickLeaf(request, checks)
  if (leaf === undefined) return undefined
  const intermediate = await findIntermediate(leaf, request, checks)
  if (intermediate === undefined) return undefined
  const anchored = await findRoot(intermediate, request)
  checks.require('snp.endorsement.untrusted-root', anchored !== undefined, {
    where: 'root certificate',
    expected: 'a pinned root',
    received: commonName(intermediate.issuer),
  })
  if (anchored === undefined) return undefined
  const { root, ark } = anchored
  const parts = { root, ark, intermediate, leaf }
  const rightNames = checkNames(parts, request.kind, checks)
  const rightRights = checkConstraints(parts, request.kind, checks)
  const endorsement = readLeaf(leaf, checks)
  if (!rightNames || !rightRights || endorsement === undefined) return undefined
  const leafKey = await keyOf(leaf, 'ecdsa-p384-sha384')
  if (leafKey === undefined) {
    checks.add('snp.endorsement.malformed', 'fail', { where: 'leaf public key' })
    return undefined
  }
  return { root, ark, intermediate, leaf, leafKey, kind: request.kind, endorsement }
}

function pickLeaf(request: ChainRequest, checks: Checks): Certificate | undefined {
  const { certificates, kind, isForReport } = request
  const leaves = certificates.filter((certificate) => endorsementKind(certificate) !== undefined)
  const right = leaves.filter((certificate) => endorsementKind(certificate) === kind)
  const details = { expected: kind.toUpperCase(), where: 'leaf certificate' }
  if (right.length === 0) {
    if (leaves.length === 0) checks.add('snp.endorsement.missing', 'undecided', details)
    else checks.add('snp.endorsement.kind-mismatch', 'fail', details)
    return undefined
  }
  checks.add('snp.endorsement.kind-mismatch', 'pass', details)
  return right.find(isForReport) ?? right[0]
}

async function findIntermediate(
  leaf: Certificate,
  { certificates }: ChainRequest,
  checks: Checks,
): Promise<Certificate | undefined> {
  const candidates = issuersOf(leaf, certificates)
  if (candidates.length === 0) {
    const expected = commonName(leaf.issuer)
    checks.add('snp.endorsement.missing', 'undecided', { expected, where: 'issuer of the leaf' })
    return undefined
  }
  checks.add('snp.endorsement.missing', 'pass')
  for (const candidate of candidates)
    if (hasAmdAlgorithm(leaf) && (await isSignedBy(leaf, candidate))) {
      checks.add('snp.endorsement.signature-invalid', 'pass', { where: 'leaf certificate' })
      return candidate
    }
  checks.add('snp.endorsement.signature-invalid', 'fail', { where: 'leaf certificate' })
  return undefined
}

async function findRoot(
  intermediate: Certificate,
  request: ChainRequest,
): Promise<{ root: SnpRoot; ark: Certificate } | undefined> {
  for (const ark of issuersOf(intermediate, request.certificates)) {
    const root = await pinnedRoot(ark, request)
    if (
      root !== undefined &&
      hasAmdAlgorithm(intermediate) &&
      (await isSignedBy(intermediate, ark))
    )
      return { root, ark }
  }
  return undefined
}

/** The root is pinned by its content; that it signed itself would prove nothing. */
async function pinnedRoot(ark: Certificate, request: ChainRequest): Promise<SnpRoot | undefined> {
  const fingerprint = toHex(await runtimeCrypto.digest('SHA-256', ark.raw))
  const hardware = request.hardwareRoots.find((root) => root.fingerprint === fingerprint)
  if (hardware !== undefined) return hardware
  if (!request.simulatedRoots.includes(fingerprint)) return undefined
  const naming = SIMULATED_NAMING
  const line = PRODUCT_LINES.find((name) => isNamed(ark.subject, chainName(naming, 'ark', name)))
  return line === undefined ? undefined : { kind: 'simulated', line, fingerprint, naming }
}

interface Parts {
  readonly root: SnpRoot
  readonly ark: Certificate
  readonly intermediate: Certificate
  readonly leaf: Certificate
}

function checkNames(
  { root, ark, intermediate, leaf }: Parts,
  kind: 'vcek' | 'vlek',
  checks: Checks,
): boolean {
  const issuerRole: ChainRole = kind === 'vcek' ? 'ask' : 'asvk'
  const named = (certificate: Certificate, role: ChainRole, issuer: ChainRole) =>
    isNamed(certificate.subject, chainName(root.naming, role, root.line)) &&
    isNamed(certificate.issuer, chainName(root.naming, issuer, root.line))
  const right =
    named(ark, 'ark', 'ark') &&
    named(intermediate, issuerRole, 'ark') &&
    named(leaf, kind, issuerRole)
  const path = [leaf, intermediate, ark].map(({ subject }) => commonName(subject)).join(' < ')
  return checks.require('snp.endorsement.name-mismatch', right, { received: path })
}

function checkConstraints(
  { root, ark, intermediate, leaf }: Parts,
  kind: 'vcek' | 'vlek',
  checks: Checks,
): boolean {
  let right: boolean
  try {
    right =
      isAuthority(ark) &&
      isAuthority(intermediate) &&
      basicConstraints(intermediate)?.pathLength === 0 &&
      hasListAddress(intermediate, kind, root) &&
      basicConstraints(leaf)?.ca !== true &&
      leaf.keyKind === 'P-384'
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    right = false
  }
  return checks.require('snp.endorsement.constraints', right)
}

function isAuthority(certificate: Certificate): boolean {
  const mayIssue = keyUsage(certificate)?.has(KEY_USAGE.keyCertSign) === true
  return basicConstraints(certificate)?.ca === true && mayIssue
}

/** An intermediate of AMD names exactly one revocation list, at AMD's service. */
function hasListAddress(intermediate: Certificate, kind: string, root: SnpRoot): boolean {
  const { listBase } = root.naming
  if (listBase === undefined) return true
  const uris = crlUris(intermediate)
  return uris.length === 1 && uris[0] === `${listBase}/${kind}/v1/${root.line}/crl`
}

/** RSASSA-PSS with SHA-384 is AMD's; ECDSA with SHA-384 is for roots of our own making. Nothing older passes. */
function hasAmdAlgorithm({ signatureAlgorithm }: Certificate): boolean {
  const { kind } = signatureAlgorithm
  return (kind === 'rsa-pss' || kind === 'ecdsa') && signatureAlgorithm.hash === 'sha384'
}

function readLeaf(leaf: Certificate, checks: Checks): Endorsement | undefined {
  try {
    const endorsement = readEndorsement(leaf)
    checks.add('snp.endorsement.malformed', 'pass')
    return endorsement
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    const received = error.message
    checks.add('snp.endorsement.malformed', 'fail', { where: 'leaf extensions', received })
    return undefined
  }
}

/** Certificates that may have issued this one, each once: given ones first, then those built in. */
function issuersOf(
  { issuer }: Certificate,
  certificates: readonly Certificate[],
): readonly Certificate[] {
  const kept: Certificate[] = []
  for (const candidate of [...certificates, ...builtInCertificates()]) {
    if (!equalBytes(candidate.subject.raw, issuer.raw)) continue
    if (kept.some((other) => equalBytes(other.raw, candidate.raw))) continue
    kept.push(candidate)
    if (kept.length === MAX_ISSUERS) break
  }
  return kept
}

function builtInCertificates(): readonly Certificate[] {
  builtIn ??= amdCertificates().map(parseCertificate)
  return builtIn
}
