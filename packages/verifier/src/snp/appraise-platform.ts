/** Whether the platform that vouches is one the policy accepts: TCB, firmware, options, chip, provider. */
import { toHex } from '../bytes/hex.ts'
import { isZero } from '../bytes/reader.ts'
import type { CheckSink } from '../result/check.ts'
import type { SnpCheckCode } from './check-codes.ts'
import type { RequiredPlatform, SnpPolicy } from './policy.ts'
import type { PlatformInfo } from './report-flags.ts'
import type { FirmwareVersion, SnpReport } from './report.ts'
import { tcbFloorOf } from './tcb-presets.ts'
import { componentsBelow, isSameTcb, readTcb, tcbText } from './tcb.ts'
import type { VerifiedSnpReport } from './verify.ts'

type Checks = CheckSink<SnpCheckCode>

export function appraisePlatform(
  verified: VerifiedSnpReport,
  policy: SnpPolicy,
  checks: Checks,
): void {
  const { distrustedLines = [] } = policy
  checks.require('snp.product.distrusted', !distrustedLines.includes(verified.line), {
    expected: distrustedLines.length === 0 ? undefined : `not ${distrustedLines.join(' or ')}`,
    received: verified.line,
  })
  checkTcbOrder(verified, policy, checks)
  checkMinimumTcb(verified, policy, checks)
  checkTcbPreset(verified, policy, checks)
  checkFirmware(verified, policy, checks)
  checkMitigations(verified.report, policy, checks)
  checkPlatformOptions(verified.report.platformInfo, policy, checks)
  checkChip(verified, policy, checks)
  checkProvider(verified, policy, checks)
}

/** A platform runs at least what it reports, has committed to and launched with, unless its firmware is provisional. */
function checkTcbOrder(
  { report, line }: VerifiedSnpReport,
  policy: SnpPolicy,
  checks: Checks,
): void {
  const current = readTcb(report.currentTcb, line)
  for (const name of ['reportedTcb', 'committedTcb', 'launchTcb'] as const) {
    const tcb = readTcb(report[name], line)
    if (componentsBelow(current, tcb).length === 0)
      checks.add('snp.tcb.order', 'pass', { where: name })
    else
      checks.add('snp.tcb.order', 'fail', {
        expected: `at most ${tcbText(current)}`,
        received: tcbText(tcb),
        where: name,
      })
  }
  const committed = readTcb(report.committedTcb, line)
  const settled =
    isSameTcb(committed, current) && firmwareText(report.current) === firmwareText(report.committed)
  if (settled) {
    checks.add('snp.firmware.provisional', 'pass')
    return
  }
  const outcome = policy.refuseProvisionalFirmware === true ? 'fail' : 'warning'
  checks.add('snp.firmware.provisional', outcome, {
    expected: `${firmwareText(report.current)}; ${tcbText(current)}`,
    received: `${firmwareText(report.committed)}; ${tcbText(committed)}`,
  })
}

function checkMinimumTcb(
  { report, line }: VerifiedSnpReport,
  policy: SnpPolicy,
  checks: Checks,
): void {
  const { minimumTcb, minimumLaunchTcb = minimumTcb } = policy
  const code = 'snp.tcb.below-minimum'
  for (const name of ['reportedTcb', 'committedTcb', 'currentTcb', 'launchTcb'] as const) {
    const minimums = name === 'launchTcb' ? minimumLaunchTcb : minimumTcb
    const tcb = readTcb(report[name], line)
    if (minimums === undefined) {
      checks.add(code, 'not-checked', { where: name })
      continue
    }
    const received = tcbText(tcb)
    const floor = minimums[line]
    const holds = floor !== undefined && componentsBelow(tcb, floor).length === 0
    const expected = floor === undefined ? `a minimum for ${line}` : `at least ${tcbText(floor)}`
    checks.require(code, holds, { expected, received, where: name })
  }
}

/** Says which bulletins a report fails. */
function checkTcbPreset(
  { report, line }: VerifiedSnpReport,
  { minimumTcbPreset: preset }: SnpPolicy,
  checks: Checks,
): void {
  const code = 'snp.tcb.below-preset'
  if (preset === undefined) {
    checks.add(code, 'not-checked')
    return
  }
  const floor = tcbFloorOf(preset, report.processor)
  if (floor === undefined) {
    const { family, model, stepping } = report.processor ?? {}
    checks.require(code, false, {
      expected: `a processor for which preset ${preset} has a figure`,
      received:
        family === undefined
          ? 'a report that names no processor'
          : `family 0x${family.toString(16)}, model 0x${model?.toString(16)}, stepping ${stepping}`,
    })
    return
  }
  const { part, tcb: minimum, bulletins } = floor
  const expected = `${part} at least ${tcbText(minimum)} (preset ${preset}: ${bulletins.join(', ')})`
  for (const where of ['reportedTcb', 'committedTcb', 'currentTcb', 'launchTcb'] as const) {
    const tcb = readTcb(report[where], line)
    const holds = componentsBelow(tcb, minimum).length === 0
    checks.require(code, holds, { expected, received: tcbText(tcb), where })
  }
}

function checkFirmware(
  { report, line }: VerifiedSnpReport,
  policy: SnpPolicy,
  checks: Checks,
): void {
  const { minimumFirmware } = policy
  const code = 'snp.firmware.below-minimum'
  for (const where of ['current', 'committed'] as const) {
    const received = firmwareText(report[where])
    if (minimumFirmware === undefined) {
      checks.add(code, 'not-checked', { received, where })
      continue
    }
    const floor = minimumFirmware[line]
    const holds = floor !== undefined && compareFirmware(report[where], floor) >= 0
    const expected =
      floor === undefined ? `a minimum for ${line}` : `at least ${firmwareText(floor)}`
    checks.require(code, holds, { expected, received, where })
  }
}

function checkMitigations(report: SnpReport, policy: SnpPolicy, checks: Checks): void {
  const { requireMitigations } = policy
  const { launchMitigationVector: launch, currentMitigationVector: current } = report
  const received =
    launch === undefined ? 'none' : `0x${launch.toString(16)}, 0x${current?.toString(16)}`
  const code = 'snp.mitigation.missing'
  if (requireMitigations === undefined) {
    checks.add(code, 'not-checked', { received })
    return
  }
  const required = BigInt(requireMitigations)
  const has = (vector: bigint | undefined) =>
    vector !== undefined && (vector & required) === required
  checks.require(code, has(launch) && has(current), {
    expected: `0x${required.toString(16)}`,
    received,
    where: 'report 0x1f8..0x208',
  })
}

const PLATFORM_RULES: Readonly<Record<RequiredPlatform, (info: PlatformInfo) => boolean>> = {
  smtDisabled: (info) => !info.smtEnabled,
  tsmeEnabled: (info) => info.tsmeEnabled,
  eccEnabled: (info) => info.eccEnabled,
  raplDisabled: (info) => info.raplDisabled,
  ciphertextHidingEnabled: (info) => info.ciphertextHidingEnabled,
  aliasCheckComplete: (info) => info.aliasCheckComplete,
  iommuWriteSafe: (info) => info.iommuWriteSafe,
  tioDisabled: (info) => !info.tioEnabled,
}

function checkPlatformOptions(info: PlatformInfo, policy: SnpPolicy, checks: Checks): void {
  const required = policy.requirePlatform ?? []
  const received = `0x${info.raw.toString(16)}`
  const where = 'report 0x40..0x48'
  if (required.length === 0) checks.add('snp.platform.option', 'not-checked', { received, where })
  for (const option of required)
    checks.require('snp.platform.option', PLATFORM_RULES[option](info), {
      expected: option,
      received,
      where,
    })
}

function checkChip(
  { report, chain, line }: VerifiedSnpReport,
  policy: SnpPolicy,
  checks: Checks,
): void {
  const chip = toHex(report.chipId)
  const masked = isZero(report.chipId)
  const where = 'report 0x1a0..0x1e0'
  const { allowedChips, enrolledChips } = policy
  if (allowedChips === undefined)
    checks.add('snp.chip.not-allowed', 'not-checked', { received: chip, where })
  else
    checks.require('snp.chip.not-allowed', !masked && isListed(chip, allowedChips), {
      expected: `one of ${allowedChips.length} chips`,
      received: chip,
      where,
    })
  // The root seed of Milan chips was extracted in software (BadFuse, arXiv 2605.12990): a report of any TCB can be forged.
  if (line !== 'Milan' || chain.root.kind !== 'hardware') return
  const listed = !masked && isListed(chip, [...(enrolledChips ?? []), ...(allowedChips ?? [])])
  checks.add('snp.chip.not-enrolled', listed ? 'pass' : 'warning', { received: chip, where })
}

/** Ids of Turin may be given by the 8 bytes in use. */
function isListed(chip: string, list: readonly string[]): boolean {
  return list.some((id) => id.length >= 16 && id.toLowerCase().padEnd(128, '0') === chip)
}

function checkProvider({ chain }: VerifiedSnpReport, policy: SnpPolicy, checks: Checks): void {
  const { cspId } = chain.endorsement
  if (chain.kind !== 'vlek') return
  const { allowedCspIds } = policy
  if (allowedCspIds === undefined)
    checks.add('snp.endorsement.csp-not-allowed', 'not-checked', { received: cspId })
  else
    checks.require(
      'snp.endorsement.csp-not-allowed',
      cspId !== undefined && allowedCspIds.includes(cspId),
      { expected: allowedCspIds.join(' or '), received: cspId },
    )
}

function compareFirmware(a: FirmwareVersion, b: FirmwareVersion): number {
  return a.major - b.major || a.minor - b.minor || a.build - b.build
}

function firmwareText({ major, minor, build }: FirmwareVersion): string {
  return `${major}.${minor}.${build}`
}
