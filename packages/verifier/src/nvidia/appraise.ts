/** The appraisal of NVIDIA GPUs and switches: parse, verify, compare, for each device; every one must pass. */
import type { Appraisal } from '../result/appraisal.ts'
import { concludeAppraisal } from '../result/appraisal.ts'
import { CheckList } from '../result/check.ts'
import type { CheckDetails, CheckOutcome, CheckSink } from '../result/check.ts'
import { checkExpectations, readExpectations } from '../result/fields.ts'
import type { ExpectedField, Expectations } from '../result/fields.ts'
import { refuseUnknownKeys } from '../result/known-keys.ts'
import { NVIDIA_DEVICE_ROOT } from './anchors.ts'
import type { NvidiaCheckCode } from './check-codes.ts'
import { nvidiaDeviceClaims } from './claims.ts'
import type { NvidiaClaims, NvidiaDeviceClaims } from './claims.ts'
import type { NvidiaDevice, NvidiaEvidence } from './evidence.ts'
import { MEASUREMENT_NAMES, NVIDIA_POLICY_KEYS } from './policy.ts'
import type { MeasurementName, NvidiaExpect, NvidiaPolicy } from './policy.ts'
import type { NvidiaReport } from './report.ts'
import { readReport, verifyNvidiaReport } from './verify.ts'

export interface NvidiaAppraiseOptions {
  /** Required. */
  readonly expect: NvidiaExpect
  /** Instant at which certificates must be in date. */
  readonly now: Date
  /** Certificates of devices that bring none, DER or PEM, in any order. */
  readonly endorsements?: { readonly certificates?: readonly Uint8Array[] }
  readonly policy?: NvidiaPolicy
}

export type NvidiaAppraisal = Appraisal<NvidiaClaims, NvidiaCheckCode>

type Checks = CheckSink<NvidiaCheckCode>
type FieldName = MeasurementName | 'nonce'

interface Request {
  readonly options: NvidiaAppraiseOptions
  readonly expected: Expectations<FieldName, NvidiaCheckCode>
  readonly root: string
}

const MAX_DEVICES = 64

/** Only measurements that the caller named: a line for each of 64 that nobody asked for would hide the others. */
function fieldsOf(expect: NvidiaExpect): readonly ExpectedField<FieldName, NvidiaCheckCode>[] {
  const named = MEASUREMENT_NAMES.filter((name) => Object.hasOwn(expect, name))
  return [
    { name: 'nonce', code: 'nvidia.nonce.mismatch', size: 32, demanded: true },
    ...named.map(
      (name) => ({ name, code: 'nvidia.measurement.mismatch', size: 48, demanded: true }) as const,
    ),
  ]
}

/**
 * Appraises the reports of one or more devices. Never throws on Evidence or endorsements, whatever their bytes.
 *
 * @param evidence - one report, or several with their certificates
 * @throws TypeError, RangeError when `expect` or `now` is missing or malformed
 */
export async function appraiseNvidia(
  evidence: Uint8Array | NvidiaEvidence,
  options: NvidiaAppraiseOptions,
): Promise<NvidiaAppraisal> {
  return appraiseNvidiaUnder(NVIDIA_DEVICE_ROOT, evidence, options)
}

/** {@link appraiseNvidia} under another root: for the tests' fake NVIDIA. */
export async function appraiseNvidiaUnder(
  root: string,
  evidence: Uint8Array | NvidiaEvidence,
  options: NvidiaAppraiseOptions,
): Promise<NvidiaAppraisal> {
  const { expect, now, policy = {} } = options
  if (!(now instanceof Date) || Number.isNaN(now.getTime())) throw new TypeError('now is required')
  if (typeof expect !== 'object' || expect === null) throw new TypeError('expect is required')
  const expected = readExpectations(fieldsOf(expect), expect)
  refuseUnknownKeys('policy', policy, NVIDIA_POLICY_KEYS)
  const { devices } =
    evidence instanceof Uint8Array ? { devices: [{ report: evidence }] } : evidence
  const checks = new CheckList<NvidiaCheckCode>()
  const tee = 'nvidia'
  const counted = checks.require(
    'nvidia.evidence.empty',
    devices.length > 0 && devices.length <= MAX_DEVICES,
    { received: `${devices.length}` },
  )
  if (!counted) return concludeAppraisal<NvidiaClaims, NvidiaCheckCode>(checks, { tee })
  const claims: NvidiaDeviceClaims[] = []
  let trusted = true
  for (const [index, device] of devices.entries()) {
    const own = devices.length === 1 ? checks : new DeviceChecks(checks, index)
    const result = await appraiseDevice(device, { options, expected, root }, own)
    if (result.claims !== undefined) claims.push(result.claims)
    trusted = trusted && result.trusted
  }
  return concludeAppraisal(checks, {
    tee,
    ...(trusted && { anchor: { kind: 'hardware', line: 'NVIDIA' } }),
    ...(claims.length > 0 && { claims: { tee, devices: claims } }),
  })
}

async function appraiseDevice(
  device: NvidiaDevice,
  { options, expected, root }: Request,
  checks: Checks,
): Promise<{ readonly trusted: boolean; readonly claims?: NvidiaDeviceClaims }> {
  const report = readReport(device.report, checks)
  if (report === undefined) return { trusted: false }
  const claims = nvidiaDeviceClaims(device, report)
  const { now, endorsements, policy = {} } = options
  const certificates = device.certificates ?? endorsements?.certificates ?? []
  const trusted = await verifyNvidiaReport(report, { certificates, now, root }, checks)
  if (!trusted) return { trusted, claims }
  checkExpectations(checks, expected, receivedFields(report))
  checkListed(checks, 'nvidia.driver.not-allowed', policy.allowedDrivers, claims.driverVersion)
  checkListed(checks, 'nvidia.vbios.not-allowed', policy.allowedVbios, claims.vbiosVersion)
  return { trusted, claims }
}

function receivedFields(report: NvidiaReport): Record<FieldName, Uint8Array | undefined> {
  const received: Partial<Record<FieldName, Uint8Array | undefined>> = {
    nonce: report.requestNonce,
  }
  for (const [index, { value }] of report.measurements) received[`measurement${index}`] = value
  return received as Record<FieldName, Uint8Array | undefined>
}

function checkListed(
  checks: Checks,
  code: NvidiaCheckCode,
  allowed: readonly string[] | undefined,
  version: string | null,
): void {
  const received = version ?? 'absent'
  if (allowed === undefined) checks.add(code, 'not-checked', { received })
  else
    checks.require(code, version !== null && allowed.includes(version), {
      expected: allowed.join(' or '),
      received,
    })
}

/** Says of each check which device it is about. */
class DeviceChecks implements Checks {
  readonly #checks: Checks
  readonly #name: string

  constructor(checks: Checks, index: number) {
    this.#checks = checks
    this.#name = `device ${index}`
  }

  require(code: NvidiaCheckCode, holds: boolean, details: CheckDetails = {}): boolean {
    return this.#checks.require(code, holds, this.#named(details))
  }

  add(code: NvidiaCheckCode, outcome: CheckOutcome, details: CheckDetails = {}): void {
    this.#checks.add(code, outcome, this.#named(details))
  }

  #named(details: CheckDetails): CheckDetails {
    const { where } = details
    return { ...details, where: where === undefined ? this.#name : `${this.#name}: ${where}` }
  }
}
