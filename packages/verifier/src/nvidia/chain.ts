/** From a device's leaf to the pinned root, out of certificates in any order. Independent of time. */
import { runtimeCrypto } from '#crypto'
import { concatBytes } from '../bytes/concat.ts'
import { equalBytes } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { toDer } from '../formats/pem.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import type { Certificate } from '../formats/x509-certificate.ts'
import { findChainProblem } from '../formats/x509-ordered-chain.ts'
import { keyOf } from '../formats/x509-verify.ts'
import type { CheckSink } from '../result/check.ts'
import type { EndorsementCache } from '../result/endorsement-cache.ts'
import type { NvidiaCheckCode } from './check-codes.ts'
import { hasFwid } from './fwid.ts'
import type { NvidiaReport } from './report.ts'

type Checks = CheckSink<NvidiaCheckCode>

const MAX_CERTIFICATES = 64
const MAX_DEPTH = 8
/** More leaves than this are not tried: each costs a signature check. */
const MAX_LEAVES = 16

export interface DeviceChainOptions {
  /** SHA-256 of the root, lowercase hex. */
  readonly root: string
  readonly now: Date
  readonly cache: EndorsementCache | undefined
}

/** Leaf first, root last; undefined with the reason among the checks. @param inputs - DER or PEM, in any order */
export async function deviceChain(
  inputs: readonly Uint8Array[],
  report: NvidiaReport,
  { root, now, cache }: DeviceChainOptions,
  checks: Checks,
): Promise<readonly Certificate[] | undefined> {
  if (inputs.length === 0) {
    checks.add('nvidia.endorsement.missing', 'undecided')
    return undefined
  }
  const key = cache && (await cacheKey(inputs))
  const known =
    key === undefined ? undefined : (cache?.get(key, now) as readonly Certificate[] | undefined)
  const certificates = known ?? parseCertificates(inputs, checks)
  if (certificates === undefined) return undefined
  // Each remembers the signatures that were found to hold; whose they must be is judged anew each time.
  if (known === undefined && key !== undefined) cache?.set(key, certificates, now)
  const leaf = await leafOf(certificates, report)
  const chain = chainFrom(leaf, certificates)
  const last = chain.at(-1)
  const whole = chain.length > 1 && last !== undefined && isSelfIssued(last)
  const where = `${chain.length} certificates in line`
  if (!checks.require('nvidia.endorsement.incomplete', whole, { where })) return undefined
  const fingerprint = toHex(await runtimeCrypto.digest('SHA-256', (last as Certificate).raw))
  const trusted = checks.require('nvidia.endorsement.untrusted-root', fingerprint === root, {
    expected: root,
    received: fingerprint,
  })
  // Said before the rights of a leaf: a chain whose leaf was left out ends in an issuer.
  const named = checks.require('nvidia.fwid.missing', leaf !== undefined && hasFwid(leaf))
  if (!trusted || !named) return undefined
  const problem = await findChainProblem(chain)
  const at = problem && `certificate ${problem.at}, leaf is 0`
  const signed = problem?.fault !== 'signature'
  checks.require('nvidia.endorsement.signature-invalid', signed, { where: at })
  // Names fit by the way in which the chain was found.
  checks.require('nvidia.endorsement.constraints', problem === undefined || !signed, { where: at })
  return problem === undefined ? chain : undefined
}

/** Each input with its length, the contents by their digest. */
async function cacheKey(inputs: readonly Uint8Array[]): Promise<string> {
  const lengths = inputs.map(({ length }) => length).join()
  const digest = await runtimeCrypto.digest('SHA-256', concatBytes(...inputs))
  return `nvidia:${lengths}:${toHex(digest)}`
}

function parseCertificates(
  inputs: readonly Uint8Array[],
  checks: Checks,
): readonly Certificate[] | undefined {
  try {
    const ders = toDer(inputs)
    if (ders.length === 0 || ders.length > MAX_CERTIFICATES)
      throw new FormatError('endorsements', 'count', 0, `${ders.length} certificates`)
    const distinct: Certificate[] = []
    for (const der of ders)
      if (!distinct.some(({ raw }) => equalBytes(raw, der))) distinct.push(parseCertificate(der))
    return distinct
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    checks.add('nvidia.endorsement.malformed', 'fail', { received: error.message })
    return undefined
  }
}

/** The one that signed the report among those that issued no other; else the first of them. */
async function leafOf(
  certificates: readonly Certificate[],
  { signed, signature }: NvidiaReport,
): Promise<Certificate | undefined> {
  const leaves = certificates.filter(
    (candidate) =>
      !certificates.some((other) => other !== candidate && isIssuedBy(other, candidate)),
  )
  if (leaves.length > 1)
    for (const leaf of leaves.slice(0, MAX_LEAVES)) {
      const key = await keyOf(leaf, 'ecdsa-p384-sha384')
      if (key !== undefined && (await runtimeCrypto.verify(key, signed, signature))) return leaf
    }
  return leaves[0] ?? certificates[0]
}

function chainFrom(
  leaf: Certificate | undefined,
  certificates: readonly Certificate[],
): readonly Certificate[] {
  const chain: Certificate[] = []
  let current = leaf
  while (current !== undefined && chain.length < MAX_DEPTH) {
    chain.push(current)
    const below: Certificate = current
    current = isSelfIssued(below)
      ? undefined
      : certificates.find((candidate) => isIssuedBy(below, candidate))
  }
  return chain
}

function isIssuedBy(certificate: Certificate, issuer: Certificate): boolean {
  return equalBytes(certificate.issuer.raw, issuer.subject.raw)
}

function isSelfIssued(certificate: Certificate): boolean {
  return isIssuedBy(certificate, certificate)
}
