/** The appraisal of Arm CCA tokens: parse, verify, compare. */
import { toHex } from '../bytes/hex.ts'
import { concludeAppraisal } from '../result/appraisal.ts'
import type { Appraisal } from '../result/appraisal.ts'
import { CheckList } from '../result/check.ts'
import type { CheckSink } from '../result/check.ts'
import { checkExpectations, readExpectations } from '../result/fields.ts'
import type { ExpectedField } from '../result/fields.ts'
import { checkPolicy } from '../result/policy-values.ts'
import type { CcaCheckCode } from './check-codes.ts'
import { ccaClaims } from './claims.ts'
import type { CcaClaims } from './claims.ts'
import type { PlatformClaims, SoftwareComponent } from './platform-claims.ts'
import { CCA_POLICY_KEYS } from './policy.ts'
import type { CcaExpect, CcaPolicy } from './policy.ts'
import type { CcaToken } from './token.ts'
import { readToken, verifyCcaToken } from './verify.ts'
import type { CcaPlatformKey } from './verify.ts'

export interface CcaAppraiseOptions {
  /** Required. */
  readonly expect: CcaExpect
  /** Required as of every TEE; nothing in a CCA token has dates. */
  readonly now: Date
  /** Platform keys (CPAK) from an Endorser. Absent leaves the Evidence undecided. */
  readonly endorsements?: { readonly platformKeys?: readonly CcaPlatformKey[] }
  /** Absent means the strict default. */
  readonly policy?: CcaPolicy
}

export type CcaAppraisal = Appraisal<CcaClaims, CcaCheckCode>

type Checks = CheckSink<CcaCheckCode>

const DIGEST = { upTo: 64 } as const

const FIELDS: readonly ExpectedField<keyof CcaExpect, CcaCheckCode>[] = [
  { name: 'challenge', code: 'cca.challenge.mismatch', size: 64, demanded: true },
  {
    name: 'initialMeasurement',
    code: 'cca.initial-measurement.mismatch',
    size: DIGEST,
    demanded: true,
  },
  {
    name: 'personalizationValue',
    code: 'cca.personalization-value.mismatch',
    size: 64,
    demanded: true,
  },
  { name: 'rem0', code: 'cca.rem0.mismatch', size: DIGEST, demanded: true },
  { name: 'rem1', code: 'cca.rem1.mismatch', size: DIGEST, demanded: true },
  { name: 'rem2', code: 'cca.rem2.mismatch', size: DIGEST, demanded: true },
  { name: 'rem3', code: 'cca.rem3.mismatch', size: DIGEST, demanded: true },
  { name: 'implementationId', code: 'cca.implementation-id.mismatch', size: 32, demanded: false },
  { name: 'instanceId', code: 'cca.instance-id.mismatch', size: 33, demanded: false },
  {
    name: 'platformConfig',
    code: 'cca.platform-config.mismatch',
    size: { upTo: 4096 },
    demanded: false,
  },
]

/**
 * Appraises one CCA token. Never throws on Evidence or endorsements, whatever their bytes.
 *
 * @throws TypeError, RangeError when `expect` or `now` is missing or malformed
 */
export async function appraiseCca(
  evidence: Uint8Array,
  options: CcaAppraiseOptions,
): Promise<CcaAppraisal> {
  const { expect, now, endorsements = {}, policy = {} } = options
  if (!(now instanceof Date) || Number.isNaN(now.getTime())) throw new TypeError('now is required')
  const expected = readExpectations(FIELDS, expect)
  checkPolicy(policy, CCA_POLICY_KEYS)
  const checks = new CheckList<CcaCheckCode>()
  const tee = 'cca'
  const token = readToken(evidence, checks)
  if (token === undefined) return concludeAppraisal<CcaClaims, CcaCheckCode>(checks, { tee })
  const claims = ccaClaims(token)
  const fingerprint = await verifyCcaToken(token, endorsements.platformKeys ?? [], checks)
  if (fingerprint === undefined) return concludeAppraisal(checks, { tee, claims })
  checkPlatform(token.platform.claims, policy, checks)
  const received = receivedFields(token)
  checkExpectations(checks, expected, (name) => received[name])
  return concludeAppraisal(checks, { tee, anchor: { kind: 'configured', fingerprint }, claims })
}

function receivedFields({
  platform,
  realm,
}: CcaToken): Record<keyof CcaExpect, Uint8Array | undefined> {
  const [rem0, rem1, rem2, rem3] = realm.claims.extensibleMeasurements
  const { challenge, initialMeasurement, personalizationValue } = realm.claims
  const { implementationId, instanceId, config } = platform.claims
  return {
    challenge,
    initialMeasurement,
    personalizationValue,
    rem0,
    rem1,
    rem2,
    rem3,
    implementationId,
    instanceId,
    platformConfig: config,
  }
}

function checkPlatform(claims: PlatformClaims, policy: CcaPolicy, checks: Checks): void {
  const { lifecycle, softwareComponents } = claims
  const unsecured = policy.allowUnsecuredPlatform === true ? 'warning' : 'fail'
  checks.add('cca.platform.not-secured', lifecycle === 'secured' ? 'pass' : unsecured, {
    expected: 'secured',
    received: lifecycle,
  })
  for (const component of softwareComponents) checkComponent(component, policy, checks)
}

function checkComponent(
  component: SoftwareComponent,
  { allowedComponents }: CcaPolicy,
  checks: Checks,
): void {
  const measurement = toHex(component.measurement)
  const signerId = toHex(component.signerId)
  const details = { received: `${measurement} by ${signerId}`, where: component.type }
  if (allowedComponents === undefined) {
    checks.add('cca.component.not-allowed', 'not-checked', details)
    return
  }
  const listed = allowedComponents.some(
    (allowed) =>
      allowed.measurement.toLowerCase() === measurement &&
      (allowed.signerId === undefined || allowed.signerId.toLowerCase() === signerId),
  )
  checks.require('cca.component.not-allowed', listed, details)
}
