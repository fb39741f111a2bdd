/** Which TCB level a platform reaches (Intel PCS, "Determine TCB level"), and what the TDX module adds to it. */
import { isZero } from '../bytes/reader.ts'
import { toHex } from '../bytes/hex.ts'
import type { PckIdentity } from './pck.ts'
import { equalsMasked, svnLevel } from './qe-identity.ts'
import type { SvnLevel, TcbInfo, TcbLevel, TdxModule } from './tcb-info.ts'
import { needsConfiguration } from './tcb-status.ts'
import type { TcbStatus } from './tcb-status.ts'
import type { TdReport } from './td-report.ts'

/** The first level, highest first, that PCK components and PCESVN reach. */
export function sgxTcbLevel({ levels }: TcbInfo, pck: PckIdentity): TcbLevel | undefined {
  return levels.find((level) => reachesSgx(level, pck))
}

/**
 * The first level that PCK and TD both reach. From module version 1 on, bytes 0 and 1 of the TD's SVNs belong to the module's own
 * identity and are not compared here.
 */
export function tdxTcbLevel(
  { levels }: TcbInfo,
  pck: PckIdentity,
  { teeTcbSvn }: TdReport,
): TcbLevel | undefined {
  const start = moduleVersion(teeTcbSvn) > 0 ? 2 : 0
  return levels.find(
    (level) =>
      reachesSgx(level, pck) &&
      level.tdxComponents?.every((svn, index) => index < start || (teeTcbSvn[index] ?? 0) >= svn),
  )
}

export type ModuleResult =
  | { readonly kind: 'none' }
  | { readonly kind: 'unknown'; readonly id: string }
  | {
      readonly kind: 'mismatch'
      readonly part: string
      readonly expected: string
      readonly received: string
    }
  | { readonly kind: 'not-supported'; readonly id: string }
  | {
      readonly kind: 'level'
      readonly id: string
      readonly level: SvnLevel
      readonly newest: SvnLevel
    }

/** The TDX module against its identity in the TCB info. Version 0 has none and is judged by the platform's level. */
export function tdxModuleLevel(
  tcbInfo: TcbInfo,
  report: TdReport,
  quoteVersion: number,
): ModuleResult {
  const version = moduleVersion(report.teeTcbSvn)
  const judged = quoteVersion > 3 && version > 0
  const id = `TDX_${version.toString(16).padStart(2, '0').toUpperCase()}`
  const identity = tcbInfo.tdxModuleIdentities.find((entry) => entry.id === id)
  if (judged && identity === undefined) return { kind: 'unknown', id }
  const expected = judged ? identity : tcbInfo.tdxModule
  if (expected === undefined) return { kind: 'unknown', id }
  const mismatch = moduleMismatch(expected, report)
  if (mismatch !== undefined) return mismatch
  if (!judged || identity === undefined) return { kind: 'none' }
  const level = svnLevel(identity.levels, report.teeTcbSvn[0] ?? 0)
  const [newest] = identity.levels
  if (level === undefined || newest === undefined) return { kind: 'not-supported', id }
  return { kind: 'level', id, level, newest }
}

/**
 * Whether only a relaunch of the TD is missing: the module was updated under it, and the TCB that runs now is the newest (TD 1.5).
 */
export function relaunchStatus(parts: {
  readonly tcbInfo: TcbInfo
  readonly report: TdReport
  readonly sgx: TcbStatus
  readonly merged: TcbStatus
  readonly qe: TcbStatus
  readonly module: ModuleResult
}): TcbStatus | undefined {
  const { tcbInfo, report, sgx, merged, qe, module } = parts
  const svn2 = report.teeTcbSvn2
  if (svn2 === undefined || module.kind !== 'level') return undefined
  const outdated = merged === 'OutOfDate' || merged === 'OutOfDateConfigurationNeeded'
  const soundSgx =
    sgx === 'UpToDate' ||
    sgx === 'SWHardeningNeeded' ||
    sgx === 'ConfigurationNeeded' ||
    sgx === 'ConfigurationAndSWHardeningNeeded'
  const soundQe = qe !== 'Revoked' && !qe.startsWith('OutOfDate')
  if (!outdated || !soundSgx || !soundQe || module.level.tcbStatus !== 'OutOfDate') return undefined
  const [newest] = tcbInfo.levels
  const newestTdx = newest?.tdxComponents
  if (newestTdx === undefined) return undefined
  const wanted = svn2[1] === 0 ? (newestTdx[0] ?? 0) : module.newest.isvSvn
  if ((svn2[0] ?? 0) < wanted || (svn2[2] ?? 0) < (newestTdx[2] ?? 0)) return undefined
  return needsConfiguration(merged) || needsConfiguration(sgx)
    ? 'TDRelaunchAdvisedConfigurationNeeded'
    : 'TDRelaunchAdvised'
}

function moduleMismatch(module: TdxModule, report: TdReport): ModuleResult | undefined {
  const { mrSignerSeam, seamAttributes } = report
  const mismatch = (part: string, expected: Uint8Array, received: Uint8Array): ModuleResult => ({
    kind: 'mismatch',
    part,
    expected: toHex(expected),
    received: toHex(received),
  })
  if (!mrSignerSeam.every((byte, index) => byte === module.mrSigner[index]))
    return mismatch('mrsigner', module.mrSigner, mrSignerSeam)
  const attributes = equalsMasked(seamAttributes, module.attributes, module.attributesMask)
  if (!attributes || !isZero(seamAttributes))
    return mismatch('attributes', module.attributes, seamAttributes)
  return undefined
}

function reachesSgx(level: TcbLevel, pck: PckIdentity): boolean {
  return (
    level.sgxComponents.every((svn, index) => (pck.components[index] ?? 0) >= svn) &&
    pck.pceSvn >= level.pceSvn
  )
}

function moduleVersion(teeTcbSvn: Uint8Array): number {
  return teeTcbSvn[1] ?? 0
}
