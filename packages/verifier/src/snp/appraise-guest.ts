/** Whether the guest is the expected one, launched under an acceptable guest policy. */
import type { CheckSink } from '../result/check.ts'
import { checkExpected, expectedValues } from '../result/expectation.ts'
import { refuseUnknownKeys } from '../result/known-keys.ts'
import type { ExpectedBytes } from '../result/expectation.ts'
import type { SnpCheckCode } from './check-codes.ts'
import type { SnpExpect, SnpPolicy } from './policy.ts'
import type { SnpReport } from './report.ts'

type Checks = CheckSink<SnpCheckCode>

interface Field {
  readonly name: keyof SnpExpect & keyof SnpReport
  readonly code: SnpCheckCode
  readonly size: number
  /** Byte range in the report. */
  readonly where: string
  /** Whether leaving it out is the caller's mistake. */
  readonly demanded: boolean
}

const FIELDS: readonly Field[] = [
  field('reportData', 'snp.report-data.mismatch', 64, 0x050, true),
  field('measurement', 'snp.measurement.mismatch', 48, 0x090, true),
  field('hostData', 'snp.host-data.mismatch', 32, 0x0c0, true),
  field('familyId', 'snp.family-id.mismatch', 16, 0x010),
  field('imageId', 'snp.image-id.mismatch', 16, 0x020),
  field('idKeyDigest', 'snp.id-key.mismatch', 48, 0x0e0),
  field('authorKeyDigest', 'snp.author-key.mismatch', 48, 0x110),
  field('reportId', 'snp.report-id.mismatch', 32, 0x140),
]

const FIELD_NAMES = Object.fromEntries(FIELDS.map(({ name }) => [name, true]))

type Expected = ReadonlyMap<Field, readonly Uint8Array[] | 'any'>

/** Reads the caller's expectations before any Evidence is looked at. @throws TypeError, RangeError on a caller's mistake */
export function readExpect(expect: SnpExpect): Expected {
  if (typeof expect !== 'object' || expect === null) throw new TypeError('expect is required')
  refuseUnknownKeys('expect', expect, FIELD_NAMES)
  return new Map(
    FIELDS.map((field) => {
      const given: ExpectedBytes | undefined = expect[field.name]
      const value = field.demanded ? given : (given ?? 'any')
      return [field, expectedValues(field.name, value as ExpectedBytes, field.size)]
    }),
  )
}

export function appraiseGuest(
  report: SnpReport,
  expected: Expected,
  policy: SnpPolicy,
  checks: Checks,
): void {
  for (const [{ name, code, where }, values] of expected) {
    checkExpected(checks, code, values, report[name], where)
    if (name === 'authorKeyDigest' && values !== 'any' && !report.keyInfo.authorKeyEnabled)
      checks.add(code, 'fail', { expected: 'AUTHOR_KEY_EN', where: 'report 0x48..0x4c' })
  }
  checkVmpl(report, policy, checks)
  checkGuestPolicy(report, policy, checks)
  const { minimumGuestSvn } = policy
  if (minimumGuestSvn === undefined)
    checks.add('snp.guest-svn.below-minimum', 'not-checked', { received: `${report.guestSvn}` })
  else
    checks.require('snp.guest-svn.below-minimum', report.guestSvn >= minimumGuestSvn, {
      expected: `at least ${minimumGuestSvn}`,
      received: `${report.guestSvn}`,
      where: 'report 0x4..0x8',
    })
  // ACPI tables and their code come from the host, and no field of the report covers them.
  checks.add('guest.acpi-unmeasured', 'not-checked')
}

function checkVmpl({ vmpl }: SnpReport, policy: SnpPolicy, checks: Checks): void {
  const wanted = policy.vmpl ?? 0
  const details = { received: `${vmpl}`, where: 'report 0x30..0x34' }
  if (wanted === 'any') checks.add('snp.vmpl.mismatch', 'not-checked', details)
  else checks.require('snp.vmpl.mismatch', vmpl === wanted, { ...details, expected: `${wanted}` })
}

function checkGuestPolicy({ policy: guest }: SnpReport, policy: SnpPolicy, checks: Checks): void {
  const received = `0x${guest.raw.toString(16)}`
  const where = 'report 0x8..0x10'
  const allowed = (set: boolean, may: boolean | undefined, code: SnpCheckCode, expected: string) =>
    checks.add(code, set ? (may === true ? 'warning' : 'fail') : 'pass', {
      expected,
      received,
      where,
    })
  allowed(guest.debugAllowed, policy.allowDebugGuest, 'snp.policy.debug', 'no DEBUG')
  allowed(
    guest.migrationAgentAllowed,
    policy.allowMigrationAgent,
    'snp.policy.migration-agent',
    'no MIGRATE_MA',
  )
  const option = (holds: boolean, expected: string) =>
    checks.require('snp.policy.option', holds, { expected, received, where })
  option(!guest.cxlAllowed || policy.allowCxl === true, 'no CXL_ALLOW')
  option(!guest.smtAllowed || policy.allowSmt !== false, 'no SMT')
  for (const name of policy.requireGuestPolicy ?? []) option(guest[name], name)
  const { minimumAbi } = policy
  const abi = `${guest.abiMajor}.${guest.abiMinor}`
  if (minimumAbi === undefined)
    checks.add('snp.policy.abi', 'not-checked', { received: abi, where })
  else {
    const { major, minor } = minimumAbi
    const holds = guest.abiMajor - major || guest.abiMinor - minor
    checks.require('snp.policy.abi', holds >= 0, {
      expected: `at least ${major}.${minor}`,
      received: abi,
      where,
    })
  }
}

function field(
  name: Field['name'],
  code: SnpCheckCode,
  size: number,
  offset: number,
  demanded = false,
): Field {
  const where = `report 0x${offset.toString(16)}..0x${(offset + size).toString(16)}`
  return { name, code, size, where, demanded }
}
