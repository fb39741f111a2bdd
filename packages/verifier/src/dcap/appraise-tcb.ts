/** The TCB of the platform by Intel's collateral: which statements apply, whether they are signed and in date, what they say. */
import type { CheckSink } from '../result/check.ts'
import type { DcapCheckCode } from './check-codes.ts'
import type { Endorsed, PreparedDcapEndorsements } from './endorsements.ts'
import { checkWindow } from './freshness.ts'
import type { PckIdentity } from './pck.ts'
import type { DcapPolicy } from './policy.ts'
import { qeMismatch, svnLevel } from './qe-identity.ts'
import type { QeIdentity } from './qe-identity.ts'
import type { Quote } from './quote.ts'
import type { TcbInfo } from './tcb-info.ts'
import { relaunchStatus, sgxTcbLevel, tdxModuleLevel, tdxTcbLevel } from './tcb-level.ts'
import type { ModuleResult } from './tcb-level.ts'
import { convergeStatus } from './tcb-status.ts'
import type { TcbStatus } from './tcb-status.ts'

export type TcbCheckCode = DcapCheckCode | 'tdx.module.unknown' | 'tdx.module.mismatch'

type Checks = CheckSink<TcbCheckCode>

/** What the collateral says, part by part. */
export interface DcapTcb {
  /** All parts together; what policies judge. */
  readonly status: TcbStatus
  readonly sgx: TcbStatus
  /** TDX only. */
  readonly tdx: TcbStatus | null
  /** TDX module identity; null where the module is judged by the platform's level. */
  readonly module: TcbStatus | null
  readonly qe: TcbStatus
  readonly advisories: readonly string[]
  /** Of the platform's level, ISO 8601. */
  readonly tcbDate: string
  /** The lower of TCB info and QE identity. */
  readonly evaluationDataNumber: number
  /** When the first of the two statements ends, ISO 8601. */
  readonly expires: string
}

export interface TcbRequest {
  readonly quote: Quote
  readonly pck: PckIdentity
  readonly endorsements: PreparedDcapEndorsements
  readonly policy: DcapPolicy
  readonly now: Date
}

/** Undefined, with the reason among the checks, when there is no status. */
export function appraiseTcb(request: TcbRequest, checks: Checks): DcapTcb | undefined {
  const { quote, now } = request
  const tcbInfo = pickTcbInfo(request, checks)
  const identity = pickQeIdentity(request, checks)
  const qeLevel = identity && judgeQe(quote, identity, checks)
  if (tcbInfo === undefined || identity === undefined || qeLevel === undefined) return undefined
  const tcb = judgeTcb(request, tcbInfo, identity, qeLevel, checks)
  if (tcb !== undefined) judgeStatus(tcb, request.policy, now, checks)
  return tcb
}

function pickTcbInfo(
  { quote, pck, endorsements, now }: TcbRequest,
  checks: Checks,
): TcbInfo | undefined {
  const id = quote.body.kind === 'tdx' ? 'TDX' : 'SGX'
  const { tcbInfos } = endorsements
  const expected = `${id}, FMSPC ${pck.fmspc}, PCEID ${pck.pceId}`
  if (tcbInfos.length === 0) {
    checks.add('dcap.tcb-info.missing', 'undecided', { expected })
    return undefined
  }
  const ours = tcbInfos.filter(
    ({ statement }) =>
      statement.id === id && statement.fmspc === pck.fmspc && statement.pceId === pck.pceId,
  )
  const matches = checks.require('dcap.tcb-info.mismatch', ours.length > 0, {
    expected,
    received: tcbInfos.map(({ statement }) => `${statement.id} ${statement.fmspc}`).join(', '),
  })
  return matches ? accept('tcb-info', ours, { endorsements, now }, checks) : undefined
}

function pickQeIdentity(
  { quote, endorsements, now }: TcbRequest,
  checks: Checks,
): QeIdentity | undefined {
  const expected = quote.body.kind === 'tdx' ? 'TD_QE' : 'QE'
  const ours = endorsements.qeIdentities.filter(({ statement }) => statement.id === expected)
  if (ours.length === 0) {
    checks.add('dcap.qe-identity.missing', 'undecided', { expected })
    return undefined
  }
  return accept('qe-identity', ours, { endorsements, now }, checks)
}

/** What two statements about the same are ordered by. */
export interface DatedStatement {
  readonly evaluationDataNumber: number
  readonly issueDate: Date
  readonly nextUpdate: Date
}

/** Of several that apply, the one in date by Intel's latest evaluation, and of that the one issued last. It must be signed, and in date. */
function accept<Statement extends DatedStatement>(
  subject: 'tcb-info' | 'qe-identity',
  candidates: readonly Endorsed<Statement>[],
  { endorsements, now }: Pick<TcbRequest, 'endorsements' | 'now'>,
  checks: Checks,
): Statement | undefined {
  const inDate = candidates.filter(
    ({ statement }) => statement.issueDate <= now && now <= statement.nextUpdate,
  )
  const [first, ...others] = inDate.length > 0 ? inDate : candidates
  if (first === undefined) return undefined
  const picked = others.reduce((a, b) => (isLater(b.statement, a.statement) ? b : a), first)
  if (!endorsements.hasSigner) {
    checks.add(`dcap.${subject}.missing`, 'undecided', { expected: 'with its signing certificate' })
    return undefined
  }
  const signed = checks.require(`dcap.${subject}.signature-invalid`, picked.chain !== undefined, {
    where: subject,
  })
  if (!signed) return undefined
  const { issueDate, nextUpdate } = picked.statement
  checkWindow(subject, { from: issueDate, until: nextUpdate }, { now, where: subject }, checks)
  return picked.statement
}

/** An evaluation counts before its date: Intel keeps issuing earlier ones, each with a new date, for as long as platforms may be judged by them. */
export function isLater(a: DatedStatement, b: DatedStatement): boolean {
  return a.evaluationDataNumber === b.evaluationDataNumber
    ? a.issueDate > b.issueDate
    : a.evaluationDataNumber > b.evaluationDataNumber
}

function judgeQe(quote: Quote, identity: QeIdentity, checks: Checks) {
  const mismatch = qeMismatch(identity, quote.qeReport)
  checks.require('dcap.qe.identity-mismatch', mismatch === undefined, { received: mismatch })
  const level = svnLevel(identity.levels, quote.qeReport.isvSvn)
  if (level === undefined)
    checks.add('dcap.tcb.not-supported', 'fail', {
      received: `isvsvn ${quote.qeReport.isvSvn}`,
      where: 'Quoting Enclave',
    })
  return level
}

function judgeTcb(
  { quote, pck }: TcbRequest,
  tcbInfo: TcbInfo,
  identity: QeIdentity,
  qeLevel: { readonly tcbStatus: TcbStatus; readonly advisoryIds: readonly string[] },
  checks: Checks,
): DcapTcb | undefined {
  const { body, version } = quote
  const report = body.kind === 'tdx' ? body.report : undefined
  const sgx = sgxTcbLevel(tcbInfo, pck)
  const platform = report === undefined ? sgx : tdxTcbLevel(tcbInfo, pck, report)
  const module: ModuleResult =
    report === undefined ? { kind: 'none' } : tdxModuleLevel(tcbInfo, report, version)
  const supported = checks.require('dcap.tcb.not-supported', platform !== undefined, {
    received: `${pck.components.join(' ')}, PCE ${pck.pceSvn}`,
    where: 'platform',
  })
  const sound = judgeModule(module, checks)
  if (!supported || !sound || sgx === undefined || platform === undefined) return undefined

  const moduleLevel = module.kind === 'level' ? module.level : undefined
  const qe = qeLevel.tcbStatus
  const withModule =
    moduleLevel === undefined
      ? platform.tcbStatus
      : convergeStatus(platform.tcbStatus, moduleLevel.tcbStatus)
  const relaunch =
    report &&
    relaunchStatus({ tcbInfo, report, sgx: sgx.tcbStatus, merged: withModule, qe, module })
  const merged = relaunch ?? convergeStatus(withModule, qe)
  const revoked = sgx.tcbStatus === 'Revoked' || merged === 'Revoked'
  const ends = Math.min(tcbInfo.nextUpdate.getTime(), identity.nextUpdate.getTime())
  return {
    status: revoked ? 'Revoked' : merged,
    sgx: sgx.tcbStatus,
    tdx: report === undefined ? null : platform.tcbStatus,
    module: moduleLevel?.tcbStatus ?? null,
    qe,
    advisories: [
      ...new Set([
        ...platform.advisoryIds,
        ...(moduleLevel?.advisoryIds ?? []),
        ...qeLevel.advisoryIds,
      ]),
    ],
    tcbDate: platform.tcbDate.toISOString(),
    evaluationDataNumber: Math.min(tcbInfo.evaluationDataNumber, identity.evaluationDataNumber),
    expires: new Date(ends).toISOString(),
  }
}

function judgeModule(module: ModuleResult, checks: Checks): boolean {
  switch (module.kind) {
    case 'none':
      return true
    case 'level':
      return checks.require('tdx.module.mismatch', true, { received: module.id })
    case 'unknown':
      return checks.require('tdx.module.unknown', false, { received: module.id })
    case 'mismatch': {
      const { part: where, expected, received } = module
      return checks.require('tdx.module.mismatch', false, { where, expected, received })
    }
    case 'not-supported':
      return checks.require('dcap.tcb.not-supported', false, { where: module.id })
    default:
      return module satisfies never
  }
}

function judgeStatus(tcb: DcapTcb, policy: DcapPolicy, now: Date, checks: Checks): void {
  const { status } = tcb
  const received = [status, ...tcb.advisories].join(' ')
  if (!checks.require('dcap.tcb.revoked', status !== 'Revoked', { received })) return
  const outcome = status === 'UpToDate' ? 'pass' : isAccepted(tcb, policy, now) ? 'warning' : 'fail'
  const level = policy.graceDays === undefined ? '' : `, level of ${tcb.tcbDate}`
  checks.add('dcap.tcb.status', outcome, {
    expected: acceptedStatuses(policy),
    received: received + level,
  })
  const minimum = policy.minimumEvaluationDataNumber
  const number = `${tcb.evaluationDataNumber}`
  if (minimum === undefined)
    checks.add('dcap.tcb.evaluation-below-minimum', 'not-checked', { received: number })
  else
    checks.require('dcap.tcb.evaluation-below-minimum', tcb.evaluationDataNumber >= minimum, {
      expected: `at least ${minimum}`,
      received: number,
    })
}

/** In words, with what else must hold for a status that is not the current one. */
function acceptedStatuses({
  acceptTcbStatuses = [],
  acceptAdvisories,
  graceDays,
}: DcapPolicy): string {
  const others = acceptTcbStatuses.filter((status) => status !== 'UpToDate')
  if (others.length === 0) return 'UpToDate'
  const only = acceptAdvisories?.join(' ') ?? ''
  const named = acceptAdvisories === undefined ? '' : ` with no advisories but ${only || 'none'}`
  const days = graceDays === undefined ? '' : ` until ${graceDays} days after the level's date`
  return `UpToDate, or ${others.join(' or ')}${named}${days}`
}

function isAccepted(tcb: DcapTcb, policy: DcapPolicy, now: Date): boolean {
  const { acceptTcbStatuses = [], acceptAdvisories, graceDays } = policy
  if (tcb.status === 'Revoked' || !acceptTcbStatuses.includes(tcb.status)) return false
  const named =
    acceptAdvisories === undefined || tcb.advisories.every((id) => acceptAdvisories.includes(id))
  const ageMs = now.getTime() - new Date(tcb.tcbDate).getTime()
  return named && (graceDays === undefined || ageMs <= graceDays * 86_400_000)
}
