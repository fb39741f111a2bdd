/** The appraisal of NVIDIA GPUs and switches: parse, verify, compare, for each device; every one must pass. */
import type { Appraisal } from '../result/appraisal.ts'
import { concludeAppraisal } from '../result/appraisal.ts'
import { CheckList } from '../result/check.ts'
import type { CheckDetails, CheckOutcome, CheckSink } from '../result/check.ts'
import type { EndorsementCache } from '../result/endorsement-cache.ts'
import { checkExpectations, readExpectations } from '../result/fields.ts'
import type { ExpectedField, Expectations } from '../result/fields.ts'
import { checkPolicy } from '../result/policy-values.ts'
import { NVIDIA_DEVICE_ROOT, NVIDIA_MANIFEST_ROOT } from './anchors.ts'
import type { NvidiaCheckCode } from './check-codes.ts'
import { nvidiaDeviceClaims } from './claims.ts'
import type { NvidiaClaims, NvidiaDeviceClaims } from './claims.ts'
import type { NvidiaDevice, NvidiaEvidence } from './evidence.ts'
import { checkGoldenMeasurements } from './golden.ts'
import { MEASUREMENT_NAMES, NVIDIA_POLICY_KEYS } from './policy.ts'
import type { MeasurementName, NvidiaExpect, NvidiaPolicy } from './policy.ts'
import type { NvidiaReport } from './report.ts'
import { checkRevocation, readOcspResponses } from './revocation.ts'
import type { RevocationRequest } from './revocation.ts'
import { verifyManifests } from './verify-manifest.ts'
import type { VerifiedManifest } from './verify-manifest.ts'
import { readReport, verifyNvidiaReport } from './verify.ts'

export interface NvidiaEndorsements {
  /** Of devices that bring none, DER or PEM, in any order. */
  readonly certificates?: readonly Uint8Array[]
  /** Reference manifests (RIM), XML as NVIDIA signed it. */
  readonly manifests?: readonly Uint8Array[]
  /** DER, of NVIDIA's responder. */
  readonly ocspResponses?: readonly Uint8Array[]
}

/** The roots, SHA-256 of the certificates in lowercase hex. */
export interface NvidiaRoots {
  readonly device: string
  readonly manifest: string
}

export interface NvidiaAppraiseOptions {
  /** Required. */
  readonly expect: NvidiaExpect
  /** Instant at which certificates must be in date. */
  readonly now: Date
  readonly endorsements?: NvidiaEndorsements
  readonly policy?: NvidiaPolicy
  readonly cache?: EndorsementCache
}

export type NvidiaAppraisal = Appraisal<NvidiaClaims, NvidiaCheckCode>

type Checks = CheckSink<NvidiaCheckCode>
type FieldName = MeasurementName | 'nonce'

interface Request {
  readonly options: NvidiaAppraiseOptions
  readonly expected: Expectations<FieldName, NvidiaCheckCode>
  readonly root: string
  readonly revocation: RevocationRequest
  readonly manifests: readonly VerifiedManifest[]
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
  const roots = { device: NVIDIA_DEVICE_ROOT, manifest: NVIDIA_MANIFEST_ROOT }
  return appraiseNvidiaUnder(roots, evidence, options)
}

/** {@link appraiseNvidia} under other roots: for the tests' fake NVIDIA. */
export async function appraiseNvidiaUnder(
  roots: NvidiaRoots,
  evidence: Uint8Array | NvidiaEvidence,
  options: NvidiaAppraiseOptions,
): Promise<NvidiaAppraisal> {
  const { expect, now, policy = {}, endorsements = {} } = options
  if (!(now instanceof Date) || Number.isNaN(now.getTime())) throw new TypeError('now is required')
  if (typeof expect !== 'object' || expect === null) throw new TypeError('expect is required')
  const expected = readExpectations(fieldsOf(expect), expect)
  checkPolicy(policy, NVIDIA_POLICY_KEYS)
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
  const revocation: RevocationRequest = {
    responses: readOcspResponses(endorsements.ocspResponses ?? [], checks),
    now,
    required: policy.requireRevocationStatus === true,
    allowCertificateHold: policy.allowCertificateHold === true,
  }
  const manifestOptions = { now, root: roots.manifest }
  const manifests = await verifyManifests(endorsements.manifests ?? [], manifestOptions, checks)
  for (const { chain } of manifests) await checkRevocation(chain, 0, revocation, checks)
  const request = { options, expected, root: roots.device, revocation, manifests }
  const claims: NvidiaDeviceClaims[] = []
  let trusted = true
  for (const [index, device] of devices.entries()) {
    const own = devices.length === 1 ? checks : new DeviceChecks(checks, index)
    const result = await appraiseDevice(device, request, own)
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
  { options, expected, root, revocation, manifests }: Request,
  checks: Checks,
): Promise<{ readonly trusted: boolean; readonly claims?: NvidiaDeviceClaims }> {
  const report = readReport(device.report, checks)
  if (report === undefined) return { trusted: false }
  const claims = nvidiaDeviceClaims(device, report)
  const { now, endorsements, policy = {}, cache } = options
  const certificates = device.certificates ?? endorsements?.certificates ?? []
  const verifying = { certificates, now, root, revocation, cache }
  const trusted = await verifyNvidiaReport(report, verifying, checks)
  if (!trusted) return { trusted, claims }
  const received = receivedFields(report)
  checkExpectations(checks, expected, (name) => received[name])
  const given = (endorsements?.manifests ?? []).length > 0
  const required = policy.requireManifests === true
  checkGoldenMeasurements({ report, claims, manifests, given, required }, checks)
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
