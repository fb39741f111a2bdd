/** The PCK certificate of a quote: found, chained to Intel's root, named rightly, in date and not revoked. */
import { equalBytes } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import type { PublicKey } from '../crypto/crypto.ts'
import { parsePem } from '../formats/pem.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import type { Certificate } from '../formats/x509-certificate.ts'
import { commonName } from '../formats/x509-name.ts'
import type { CheckSink } from '../result/check.ts'
import { INTEL_NAME } from './anchors.ts'
import type { IntelRoot } from './anchors.ts'
import type { ChainResult } from './chain.ts'
import type { DcapCheckCode } from './check-codes.ts'
import { readPckIdentity } from './pck.ts'
import type { PckIdentity } from './pck.ts'
import { parsePpidCertification } from './ppid-certification.ts'
import type { CertificationData, Quote } from './quote.ts'

type Checks = CheckSink<DcapCheckCode>

export interface PckChain {
  /** PCK, its CA, the root. */
  readonly chain: readonly Certificate[]
  readonly identity: PckIdentity
}

/** The certificates that a quote brings or names, before anybody has vouched for them. */
export interface PckSource {
  /** Leaf first; empty for the types that only name one. */
  readonly own: readonly Certificate[]
  readonly leaf: Certificate | undefined
  /** Why the certification data could not be read. */
  readonly problem: FormatError | undefined
}

export function readPckSource(
  { certification }: Quote,
  certificates: readonly Certificate[],
  root: IntelRoot,
): PckSource {
  try {
    const own = ownCertificates(certification, certificates)
    const leaf = own[0] ?? suppliedLeaf(certification, certificates, root.prefix + INTEL_NAME.pck)
    return { own, leaf, problem: undefined }
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    return { own: [], leaf: undefined, problem: error }
  }
}

/** What was found from the leaf on. */
export interface PckFindings {
  readonly source: PckSource
  /** Undefined without a leaf. */
  readonly pckChain: ChainResult | undefined
  /** Undefined when it is no point of the curve. */
  readonly pckKey: PublicKey | undefined
}

/** The chain, or undefined with the reason among the checks. */
export function judgePckChain(
  { certification }: Quote,
  { source: { leaf, problem }, pckChain: result, pckKey: key }: PckFindings,
  root: IntelRoot,
  checks: Checks,
): PckChain | undefined {
  if (problem !== undefined) {
    checks.add('dcap.endorsement.malformed', 'fail', {
      received: problem.message,
      where: 'certification data',
    })
    return undefined
  }
  if (leaf === undefined || result === undefined) {
    checks.add('dcap.pck.missing', 'undecided', {
      expected: `a PCK certificate for type ${certification.type}`,
    })
    return undefined
  }
  if (!result.found && result.problem === 'no-issuer') {
    checks.add('dcap.pck.missing', 'undecided', { expected: commonName(leaf.issuer) })
    return undefined
  }
  checks.add('dcap.pck.missing', 'pass')
  checks.require('dcap.endorsement.untrusted-root', result.found, {
    expected: root.fingerprint,
    where: 'PCK chain',
  })
  if (!result.found) return undefined
  const { chain } = result
  const named = checks.require('dcap.endorsement.name-mismatch', isNamed(chain, root), {
    received: chain.map(({ subject }) => commonName(subject)).join(' < '),
    where: 'PCK chain',
  })
  const identity = readIdentity(leaf, checks)
  if (key === undefined) checks.add('dcap.pck.malformed', 'fail', { where: 'public key' })
  return named && identity !== undefined && key !== undefined ? { chain, identity } : undefined
}

/**
 * Certificates that the quote brings along, leaf first; none for the types that only name one. Those that the collateral holds too, as
 * a rule all but the leaf, are taken from there: parsed, their keys imported and their signatures checked.
 *
 * @throws FormatError
 */
function ownCertificates(
  { type, data }: CertificationData,
  known: readonly Certificate[],
): readonly Certificate[] {
  if (type !== 4 && type !== 5) return []
  const certificates = parsePem(data).map(
    ({ der }) => known.find(({ raw }) => equalBytes(raw, der)) ?? parseCertificate(der),
  )
  if (certificates.length === 0)
    throw new FormatError('PCK chain', 'certificates', 0, 'there are none')
  if (type === 4 && certificates.length > 1)
    throw new FormatError('PCK chain', 'certificates', 0, 'a leaf alone is of type 4')
  return certificates
}

/** The supplied PCK certificate of the TCB that the quote names. */
function suppliedLeaf(
  certification: CertificationData,
  certificates: readonly Certificate[],
  name: string,
): Certificate | undefined {
  try {
    const wanted = parsePpidCertification(certification)
    return certificates.find((certificate) => {
      if (commonName(certificate.subject) !== name) return false
      const { ppid, cpuSvn, pceSvn, pceId } = readPckIdentity(certificate)
      const samePlatform = wanted.encrypted || equalBytes(ppid, wanted.ppid)
      const sameTcb = equalBytes(cpuSvn, wanted.cpuSvn) && pceSvn === wanted.pceSvn
      return samePlatform && sameTcb && pceId === toHex(wanted.pceId)
    })
  } catch (error) {
    if (error instanceof FormatError) return undefined
    throw error
  }
}

function isNamed(chain: readonly Certificate[], { prefix }: IntelRoot): boolean {
  const [leaf, issuer, root] = chain.map(({ subject }) => commonName(subject))
  const issuers: readonly (string | undefined)[] = [
    prefix + INTEL_NAME.platformCa,
    prefix + INTEL_NAME.processorCa,
  ]
  return (
    chain.length === 3 &&
    leaf === prefix + INTEL_NAME.pck &&
    issuers.includes(issuer) &&
    root === prefix + INTEL_NAME.root
  )
}

function readIdentity(leaf: Certificate, checks: Checks): PckIdentity | undefined {
  try {
    const identity = readPckIdentity(leaf)
    checks.add('dcap.pck.malformed', 'pass')
    return identity
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    checks.add('dcap.pck.malformed', 'fail', { received: error.message })
    return undefined
  }
}
