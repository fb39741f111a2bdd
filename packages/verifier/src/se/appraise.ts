/** The appraisal of IBM Secure Execution evidence: parse, verify, compare. */
import { FormatError } from '../bytes/format-error.ts'
import { concludeAppraisal } from '../result/appraisal.ts'
import type { Appraisal } from '../result/appraisal.ts'
import { CheckList } from '../result/check.ts'
import type { CheckSink } from '../result/check.ts'
import { checkExpectations, readExpectations } from '../result/fields.ts'
import type { ExpectedField } from '../result/fields.ts'
import { checkPolicy } from '../result/policy-values.ts'
import type { SeCheckCode } from './check-codes.ts'
import { hostKeyHashes, seClaims } from './claims.ts'
import type { SeClaims } from './claims.ts'
import { SIZE, checkSizes, parseSeEvidence } from './evidence.ts'
import type { SeEvidence } from './evidence.ts'
import { checkDates, checkRevocation } from './freshness.ts'
import { hostKeyChain } from './host-key.ts'
import { isMeasurementOf } from './measurement.ts'
import { SE_POLICY_KEYS } from './policy.ts'
import type { SeExpect, SePolicy } from './policy.ts'

export interface SeAppraiseOptions {
  /** Required. */
  readonly expect: SeExpect
  /** Instant at which certificates and lists must be in date. */
  readonly now: Date
  /** 64 bytes, secret: the key that the caller wrapped, in its request, for the host key given in `endorsements`. */
  readonly measurementKey: Uint8Array
  /** 16 bytes, when the request had a nonce. */
  readonly requestNonce?: Uint8Array
  /** The host key document with its chain, and revocation lists; DER or PEM, in any order. */
  readonly endorsements?: {
    readonly certificates?: readonly Uint8Array[]
    readonly revocationLists?: readonly Uint8Array[]
  }
  /** Absent means the strict default, which trusts no root. */
  readonly policy?: SePolicy
}

export type SeAppraisal = Appraisal<SeClaims, SeCheckCode>

const KEY_BYTES = 64
const NONCE_BYTES = 16
const OPTIONAL_HASH = { size: 32, demanded: false } as const

const FIELDS: readonly ExpectedField<keyof SeExpect, SeCheckCode>[] = [
  {
    name: 'imageHeaderTags',
    code: 'se.image-header-tags.mismatch',
    size: SIZE.imageHeaderTags,
    demanded: true,
  },
  {
    name: 'userData',
    code: 'se.user-data.mismatch',
    size: { upTo: SIZE.maxUserData },
    demanded: true,
  },
  { name: 'cuid', code: 'se.cuid.mismatch', size: SIZE.cuid, demanded: false },
  { name: 'imagePhkh', code: 'se.image-phkh.mismatch', ...OPTIONAL_HASH },
  { name: 'attestationPhkh', code: 'se.attestation-phkh.mismatch', ...OPTIONAL_HASH },
]

/**
 * Appraises one measurement. Never throws on Evidence or endorsements, whatever their bytes.
 *
 * @param given - CoCo's JSON, or its members
 * @throws TypeError, RangeError when `expect`, `now`, key or nonce is missing or malformed
 */
export async function appraiseSe(
  given: Uint8Array | SeEvidence,
  options: SeAppraiseOptions,
): Promise<SeAppraisal> {
  const { expect, now, measurementKey, requestNonce, endorsements = {}, policy = {} } = options
  if (!(now instanceof Date) || Number.isNaN(now.getTime())) throw new TypeError('now is required')
  checkSecret('measurementKey', measurementKey, KEY_BYTES)
  if (requestNonce !== undefined) checkSecret('requestNonce', requestNonce, NONCE_BYTES)
  const expected = readExpectations(FIELDS, expect)
  checkPolicy(policy, SE_POLICY_KEYS)
  const checks = new CheckList<SeCheckCode>()
  const tee = 'se'
  const evidence = readEvidence(given, checks)
  if (evidence === undefined) return concludeAppraisal<SeClaims, SeCheckCode>(checks, { tee })
  const claims = seClaims(evidence)
  const roots = (policy.trustedRoots ?? []).map((text) => text.toLowerCase())
  const chain = await hostKeyChain(endorsements.certificates ?? [], roots, checks)
  if (chain !== undefined) {
    checkDates(chain.certificates, now, checks)
    const inputs = endorsements.revocationLists ?? []
    const allowMissing = policy.allowMissingRevocationLists === true
    await checkRevocation(chain.certificates, { inputs, now, allowMissing }, checks)
  }
  const nonce = requestNonce ?? new Uint8Array()
  const measured = await isMeasurementOf(evidence, measurementKey, nonce)
  checks.require('se.measurement.invalid', measured)
  if (chain === undefined || !measured) return concludeAppraisal(checks, { tee, claims })
  const received = { ...evidence, ...hostKeyHashes(evidence) }
  checkExpectations(checks, expected, (name) => received[name])
  const anchor = { kind: 'configured', fingerprint: chain.root } as const
  return concludeAppraisal(checks, { tee, anchor, claims })
}

function readEvidence(
  given: Uint8Array | SeEvidence,
  checks: CheckSink<SeCheckCode>,
): SeEvidence | undefined {
  try {
    const evidence = given instanceof Uint8Array ? parseSeEvidence(given) : checkSizes(given)
    checks.add('se.evidence.malformed', 'pass')
    return evidence
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    checks.add('se.evidence.malformed', 'fail', { received: error.message })
    return undefined
  }
}

function checkSecret(name: string, value: unknown, size: number): void {
  if (!(value instanceof Uint8Array)) throw new TypeError(`${name} is required`)
  if (value.length !== size)
    throw new RangeError(`${name} has ${value.length} bytes, wanted ${size}`)
}
