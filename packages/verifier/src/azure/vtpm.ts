/** The half of an Azure appraisal that SNP and TDX share: the HCL report's runtime data, and the quote of the vTPM whose key they hold. */
import { equalBytes } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { extend } from '../eventlog/replay.ts'
import type { CheckSink } from '../result/check.ts'
import { checkExpected, expectedValues } from '../result/expectation.ts'
import type { ExpectedBytes } from '../result/expectation.ts'
import { readExpectations } from '../result/fields.ts'
import type { Expectations } from '../result/fields.ts'
import type { TpmQuoteCheckCode } from '../tpm/check-codes.ts'
import { clockClaims } from '../tpm/claims.ts'
import type { TpmClock } from '../tpm/claims.ts'
import { checkPcrs, pcrClaims } from '../tpm/pcrs.ts'
import { PCR_FIELDS, PCR_NAMES } from '../tpm/policy.ts'
import type { PcrExpect, PcrName } from '../tpm/policy.ts'
import { checkNonce, readAttestationKey, verifyTpmQuote } from '../tpm/verify.ts'
import type { VerifiedTpmQuote } from '../tpm/verify.ts'
import type { AzureCheckCode } from './check-codes.ts'
import type { AzSnpEvidence, AzTdxEvidence } from './evidence.ts'
import { hclBinding, isTdReportPadded, parseHclReport, tdReportData } from './hcl-report.ts'
import type { HclReport } from './hcl-report.ts'
import { parseHclRuntimeData } from './runtime-data.ts'
import type { HclRuntimeData } from './runtime-data.ts'

type Checks = CheckSink<AzureCheckCode | TpmQuoteCheckCode>

/** Reference Values of the vTPM. Leaving out one that is not optional is an error; `'any'` skips it and shows in the result. */
export interface VtpmExpect extends PcrExpect {
  /** The nonce that the vTPM's quote must carry, byte for byte. In Evidence of version 2 the user data must begin with it too. */
  readonly reportData: ExpectedBytes
  /** 64 bytes that the guest set. Absent means not checked, and the result says so; likewise the next. */
  readonly userData?: ExpectedBytes
  /** 32 bytes: the digest of the init data, with which the guest extended PCR 8 once. */
  readonly initData?: ExpectedBytes
}

export interface VtpmExpected {
  readonly nonce: readonly Uint8Array[] | 'any'
  readonly userData: readonly Uint8Array[] | 'any'
  readonly initData: readonly Uint8Array[] | 'any'
  readonly pcrs: Expectations<PcrName, TpmQuoteCheckCode>
}

export interface VtpmClaims {
  /** The nonce in the quote. */
  readonly reportData: string
  readonly userData: string
  readonly vmConfiguration: Readonly<Record<string, unknown>>
  /** SHA-256 bank. */
  readonly pcrs: Readonly<Partial<Record<PcrName, string>>>
  readonly clock: TpmClock
}

export interface HclParts {
  readonly report: HclReport
  readonly runtime: HclRuntimeData
  /** What the hardware's report must have as its report data. */
  readonly binding: Uint8Array
}

const INIT_DATA_PCR = 8
const MAX_NONCE = 64

/** @throws TypeError, RangeError on a caller's mistake; names that are left are the hardware's */
export function readVtpmExpect<Expect extends VtpmExpect>(
  expect: Expect,
): { vtpm: VtpmExpected; hardware: Omit<Expect, keyof VtpmExpect> } {
  if (typeof expect !== 'object' || expect === null) throw new TypeError('expect is required')
  const { reportData, userData = 'any', initData = 'any', ...others } = expect
  const isPcr = (name: string) => PCR_NAMES.some((pcr) => pcr === name)
  const entries = Object.entries(others)
  const pcrs = Object.fromEntries(entries.filter(([name]) => isPcr(name))) as PcrExpect
  const hardware = Object.fromEntries(entries.filter(([name]) => !isPcr(name)))
  return {
    vtpm: {
      nonce: expectedValues('reportData', reportData, { upTo: MAX_NONCE }),
      userData: expectedValues('userData', userData, 64),
      initData: expectedValues('initData', initData, 32),
      pcrs: readExpectations(PCR_FIELDS, pcrs),
    },
    hardware: hardware as unknown as Omit<Expect, keyof VtpmExpect>,
  }
}

/** The report and its runtime data, for the TEE that the caller asked for; undefined with the reason among the checks. */
export async function readHcl(
  bytes: Uint8Array,
  type: HclReport['type'],
  checks: Checks,
): Promise<HclParts | undefined> {
  const report = attempt('azure.hcl.malformed', () => parseHclReport(bytes), checks)
  if (report === undefined) return undefined
  const right = checks.require('azure.hcl.type-mismatch', report.type === type, {
    expected: type,
    received: report.type,
    where: 'HCL report 0x4c8..0x4cc',
  })
  const { runtimeData } = report
  const runtime = attempt(
    'azure.runtime-data.malformed',
    () => parseHclRuntimeData(runtimeData),
    checks,
  )
  if (!right || runtime === undefined) return undefined
  return { report, runtime, binding: await hclBinding(report) }
}

/** @param reportData - of the hardware's report, or of the quote over it */
export function checkBinding(
  { report, binding }: HclParts,
  reportData: Uint8Array,
  checks: Checks,
): boolean {
  checks.require('azure.hcl.binding-mismatch', equalBytes(binding, reportData), {
    expected: toHex(binding),
    received: toHex(reportData),
    where: 'report data of the hardware',
  })
  if (report.type === 'snp') return equalBytes(binding, reportData)
  const own = tdReportData(report)
  const holds = equalBytes(binding, own) && isTdReportPadded(report)
  checks.require('azure.hcl.binding-mismatch', holds, {
    expected: toHex(binding),
    received: toHex(own),
    where: 'TDREPORT in the HCL report',
  })
  return holds && equalBytes(binding, reportData)
}

/** The vTPM's claims, or undefined with the reason among the checks. Worth something only where the binding holds. */
export async function appraiseVtpm(
  { quote, version }: AzSnpEvidence | AzTdxEvidence,
  { runtime }: HclParts,
  expected: VtpmExpected,
  checks: Checks,
): Promise<VtpmClaims | undefined> {
  const ak = await readAttestationKey(runtime.ak, checks)
  const verified = ak && (await verifyTpmQuote(quote, ak, checks))
  const values = verified?.banks.find(({ hash }) => hash === 'sha256')?.values
  if (verified === undefined) return undefined
  checks.require('tpm.pcr.not-quoted', values !== undefined, { expected: 'sha256' })
  if (values === undefined) return undefined
  checkNonce(verified, expected.nonce, undefined, checks)
  checkPcrs(values, expected.pcrs, checks)
  checkUserData(runtime, version, expected, checks)
  await checkInitData(values, expected, checks)
  return vtpmClaims(runtime, verified, values)
}

function vtpmClaims(
  { userData, vmConfiguration }: HclRuntimeData,
  { attest }: VerifiedTpmQuote,
  values: ReadonlyMap<number, Uint8Array>,
): VtpmClaims {
  return {
    reportData: toHex(attest.extraData),
    userData: toHex(userData),
    vmConfiguration,
    pcrs: pcrClaims(values),
    clock: clockClaims(attest),
  }
}

function checkUserData(
  { userData }: HclRuntimeData,
  version: number,
  expected: VtpmExpected,
  checks: Checks,
): void {
  const where = 'runtime data user-data'
  checkExpected(checks, 'azure.user-data.mismatch', expected.userData, userData, where)
  const { nonce } = expected
  if (version < 2 || nonce === 'any') return
  const begins = nonce.some((value) => equalBytes(value, userData.subarray(0, value.length)))
  checks.require('azure.user-data.mismatch', begins, {
    expected: nonce.map(toHex).join(' or '),
    received: toHex(userData),
    where,
  })
}

async function checkInitData(
  values: ReadonlyMap<number, Uint8Array>,
  { initData }: VtpmExpected,
  checks: Checks,
): Promise<void> {
  const registers =
    initData === 'any'
      ? initData
      : await Promise.all(initData.map((digest) => extend('sha256', new Uint8Array(32), digest)))
  const received = values.get(INIT_DATA_PCR)
  checkExpected(checks, 'azure.init-data.mismatch', registers, received, 'pcr8')
}

/** What a parser makes of it; undefined with the reason among the checks. */
export function attempt<Value>(
  code: AzureCheckCode,
  parse: () => Value,
  checks: Checks,
): Value | undefined {
  try {
    const value = parse()
    checks.add(code, 'pass')
    return value
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    checks.add(code, 'fail', { received: error.message })
    return undefined
  }
}
