/** What an attestation key is worth: certified under a root that the caller trusts, or named by the caller. */
import { equalBytes } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { toDer } from '../formats/pem.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import type { Certificate } from '../formats/x509-certificate.ts'
import { commonName } from '../formats/x509-name.ts'
import type { Anchor } from '../result/appraisal.ts'
import type { CheckSink } from '../result/check.ts'
import { findTpmChain, fingerprintOf, gceInstance, leafProblem } from './certificate.ts'
import type { GceInstance } from './certificate.ts'
import type { TpmCheckCode } from './check-codes.ts'
import type { TpmEvidence } from './evidence.ts'
import { GCE_TPM_ROOTS } from './policy.ts'
import { isAttestationKey } from './public-area.ts'
import type { AttestationKey } from './verify.ts'

type Checks = CheckSink<TpmCheckCode>

export interface KeyTrust {
  readonly anchor: Anchor
  /** The instance that Google names in the key's certificate. */
  readonly instance: GceInstance | undefined
}

export interface KeyTrustOptions {
  /** Digests of SPKIs that the caller named. */
  readonly expected: readonly Uint8Array[] | 'any'
  /** Issuers, DER or PEM. */
  readonly certificates: readonly Uint8Array[]
  readonly trustedRoots: readonly string[]
  readonly now: Date
}

const MAX_CERTIFICATES = 64

/** Undefined when the key is another than expected, or a certificate is there and unsound, with the reason among the checks. */
export async function judgeAttestationKey(
  evidence: TpmEvidence,
  ak: AttestationKey,
  options: KeyTrustOptions,
  checks: Checks,
): Promise<KeyTrust | undefined> {
  checkAttributes(evidence, checks)
  const pinned = checkPinned(ak, options.expected, checks)
  const certified = await certification(evidence, ak, options, checks)
  if (certified === 'unsound') return undefined
  if (certified !== undefined) return certified
  if (pinned)
    return {
      anchor: { kind: 'configured', fingerprint: toHex(ak.fingerprint) },
      instance: undefined,
    }
  if (options.expected !== 'any') return undefined
  // The caller asked to look past that: the key in the Evidence is then believed to be some TPM's.
  // One who names roots asks for a certificate, so leaving it out of the Evidence must not help.
  const asked = options.trustedRoots.length > 0
  checks.add('tpm.ak.not-certified', asked ? 'undecided' : 'warning', {
    received: toHex(ak.fingerprint),
  })
  return { anchor: { kind: 'none' }, instance: undefined }
}

function checkAttributes({ publicArea }: TpmEvidence, checks: Checks): void {
  if (publicArea === undefined) checks.add('tpm.ak.attributes', 'not-checked')
  else
    checks.require('tpm.ak.attributes', isAttestationKey(publicArea), {
      received: `0x${publicArea.attributes.toString(16)}`,
    })
}

function checkPinned(
  { fingerprint }: AttestationKey,
  expected: KeyTrustOptions['expected'],
  checks: Checks,
): boolean {
  const received = toHex(fingerprint)
  if (expected === 'any') {
    checks.add('tpm.ak.mismatch', 'not-checked', { received })
    return false
  }
  return checks.require(
    'tpm.ak.mismatch',
    expected.some((value) => equalBytes(value, fingerprint)),
    { expected: expected.map(toHex).join(' or '), received },
  )
}

/** Undefined without a certificate, or when the caller trusts no root: then only a named key counts. */
async function certification(
  evidence: TpmEvidence,
  ak: AttestationKey,
  { certificates, trustedRoots, now }: KeyTrustOptions,
  checks: Checks,
): Promise<KeyTrust | 'unsound' | undefined> {
  if (evidence.certificate === undefined || trustedRoots.length === 0) {
    checks.add('tpm.ak.untrusted-root', 'not-checked')
    return undefined
  }
  const parsed = parseAll(evidence.certificate, evidence.intermediates ?? [], certificates, checks)
  if (parsed === undefined) return 'unsound'
  const { leaf, candidates } = parsed
  const same = checks.require('tpm.ak.certificate-mismatch', equalBytes(leaf.spki, ak.spki))
  const chain = await findTpmChain(leaf, candidates, trustedRoots)
  const root = chain?.at(-1)
  if (chain === undefined || root === undefined) {
    checks.add('tpm.ak.untrusted-root', 'undecided', { received: commonName(leaf.issuer) })
    return 'unsound'
  }
  const fingerprint = await fingerprintOf(root)
  checks.add('tpm.ak.untrusted-root', 'pass', { received: fingerprint })
  for (const certificate of chain) checkDates(certificate, now, checks)
  if (!same) return 'unsound'
  const instance = GCE_TPM_ROOTS.includes(fingerprint) ? readInstance(leaf, checks) : undefined
  return { anchor: { kind: 'configured', fingerprint }, instance }
}

function parseAll(
  own: Uint8Array,
  intermediates: readonly Uint8Array[],
  given: readonly Uint8Array[],
  checks: Checks,
): { leaf: Certificate; candidates: readonly Certificate[] } | undefined {
  try {
    const leaf = parseCertificate(own)
    const problem = leafProblem(leaf, 'ak')
    if (problem !== undefined) throw new FormatError('AK certificate', 'extensions', 0, problem)
    const ders = toDer([...intermediates, ...given])
    if (ders.length > MAX_CERTIFICATES)
      throw new FormatError('endorsements', 'count', 0, `more than ${MAX_CERTIFICATES}`)
    const candidates = ders.map((der) => parseCertificate(der))
    checks.add('tpm.ak.certificate-malformed', 'pass')
    return { leaf, candidates }
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    checks.add('tpm.ak.certificate-malformed', 'fail', { received: error.message })
    return undefined
  }
}

function checkDates(
  { notBefore, notAfter, subject }: Certificate,
  now: Date,
  checks: Checks,
): void {
  const where = commonName(subject)
  checks.require('tpm.ak.not-yet-valid', notBefore <= now, { where })
  checks.add('tpm.ak.expired', now <= notAfter ? 'pass' : 'undecided', { where })
}

function readInstance(leaf: Certificate, checks: Checks): GceInstance | undefined {
  try {
    return gceInstance(leaf)
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    checks.add('tpm.ak.certificate-malformed', 'fail', { received: error.message })
    return undefined
  }
}
