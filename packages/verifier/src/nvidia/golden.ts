/** Compares what a device measured with the manifests of the driver and the VBIOS that it says it runs. */
import { equalBytes } from '../bytes/equal.ts'
import { toHex } from '../bytes/hex.ts'
import type { CheckSink } from '../result/check.ts'
import type { NvidiaCheckCode } from './check-codes.ts'
import type { NvidiaDeviceClaims } from './claims.ts'
import type { GoldenMeasurement } from './manifest.ts'
import { OPAQUE } from './opaque-data.ts'
import type { NvidiaReport } from './report.ts'
import type { VerifiedManifest } from './verify-manifest.ts'

type Checks = CheckSink<NvidiaCheckCode>

/** The measurement of the video decoder's firmware, which a device with that decoder turned off does not load. */
const NVDEC0_INDEX = 35
const NVDEC0_DISABLED = 0x55

export interface GoldenRequest {
  readonly report: NvidiaReport
  readonly claims: NvidiaDeviceClaims
  readonly manifests: readonly VerifiedManifest[]
  /** Whether any was given, verified or not. */
  readonly given: boolean
  readonly required: boolean
}

export function checkGoldenMeasurements(request: GoldenRequest, checks: Checks): void {
  const { claims, given, required } = request
  const code = 'nvidia.manifest.missing'
  if (!given) {
    checks.add(code, required ? 'undecided' : 'not-checked')
    return
  }
  const { driverVersion, vbiosVersion } = claims
  const vbios = pickManifest(request, vbiosVersion)
  // One driver version has a manifest for each chip, and a VBIOS version belongs to one chip.
  const driver = pickManifest(request, driverVersion, vbios?.manifest.product)
  for (const [version, found] of [
    [driverVersion, driver],
    [vbiosVersion, vbios],
  ] as const)
    if (version !== null)
      checks.add(code, found === undefined ? 'undecided' : 'pass', {
        expected: `a manifest of ${version}`,
      })
  if (driverVersion === null && vbiosVersion === null)
    checks.add(code, 'undecided', { received: 'a report without versions' })
  compare(request.report, merge(driver, vbios, checks), checks)
}

/** Of that version, and of that product where one is named; of several, one that fits if there is one. */
function pickManifest(
  { manifests, report }: GoldenRequest,
  version: string | null,
  product?: string,
): VerifiedManifest | undefined {
  const candidates = manifests.filter(
    ({ manifest }) =>
      manifest.version?.toLowerCase() === version?.toLowerCase() &&
      (product === undefined || manifest.product === product),
  )
  const fits = ({ manifest }: VerifiedManifest) =>
    manifest.measurements.every((golden) => isGolden(report, golden))
  return candidates.find(fits) ?? candidates[0]
}

/** By index; one that both name is nobody's word. */
function merge(
  driver: VerifiedManifest | undefined,
  vbios: VerifiedManifest | undefined,
  checks: Checks,
): readonly GoldenMeasurement[] {
  const own = driver?.manifest.measurements ?? []
  const others = vbios?.manifest.measurements ?? []
  const indices = new Set(own.map(({ index }) => index))
  const twice = others.filter(({ index }) => indices.has(index))
  checks.require('nvidia.manifest.conflict', twice.length === 0, {
    received: twice.map(({ index }) => `measurement ${index + 1}`).join(', '),
  })
  return [...own, ...others]
}

function isGolden(
  { measurements }: NvidiaReport,
  { index, alternatives }: GoldenMeasurement,
): boolean {
  const value = measurements.get(index + 1)?.value
  return value !== undefined && alternatives.some((one) => equalBytes(one, value))
}

function compare(report: NvidiaReport, golden: readonly GoldenMeasurement[], checks: Checks): void {
  const code = 'nvidia.manifest.measurement-mismatch'
  const decoderOff = report.opaque.get(OPAQUE.nvdec0Status)?.[0] === NVDEC0_DISABLED
  let matched = 0
  for (const one of golden) {
    const where = `measurement ${one.index + 1}`
    const value = report.measurements.get(one.index + 1)?.value
    if (one.index === NVDEC0_INDEX && decoderOff)
      checks.add(code, 'not-checked', { received: 'the video decoder is turned off', where })
    else if (isGolden(report, one)) matched++
    else
      checks.add(code, 'fail', {
        expected: one.alternatives.map(toHex).join(' or '),
        received: value === undefined ? 'absent' : toHex(value),
        where,
      })
  }
  if (matched > 0) checks.add(code, 'pass', { received: `${matched} measurements` })
}
