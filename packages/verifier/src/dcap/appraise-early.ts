/**
 * Whether the platform will still be accepted once Intel promotes its next TCB recovery: the same quote, judged by `early` collateral beside the `standard` one.
 * What it finds never makes anything better; by the policy's choice it makes it worse.
 */
import { CheckList } from '../result/check.ts'
import type { CheckSink } from '../result/check.ts'
import { appraiseTcb } from './appraise-tcb.ts'
import type { TcbCheckCode, TcbRequest } from './appraise-tcb.ts'
import type { PreparedDcapEndorsements } from './endorsements.ts'

/** @param early - absent: nothing was compared, and the result says so; a policy that refuses by it is left undecided */
export function appraiseEarly(
  request: TcbRequest,
  early: PreparedDcapEndorsements | undefined,
  checks: CheckSink<TcbCheckCode>,
): void {
  const code = 'dcap.tcb.early-status'
  const demanded = request.policy.refuseFailingEarlyTcb === true
  if (early === undefined) {
    checks.add(code, demanded ? 'undecided' : 'not-checked', {
      expected: 'early collateral to compare with',
    })
    return
  }
  const own = new CheckList<TcbCheckCode>()
  const tcb = appraiseTcb({ ...request, endorsements: early }, own)
  const failed = own.checks.find(({ outcome }) => outcome === 'fail' || outcome === 'undecided')
  const details = {
    expected: 'accepted by the next TCB recovery too',
    received:
      tcb === undefined || early.malformed.length > 0
        ? (early.malformed[0] ?? failed?.code ?? 'no status')
        : [tcb.status, ...tcb.advisories, `evaluation ${tcb.evaluationDataNumber}`].join(' '),
  }
  if (tcb === undefined || early.malformed.length > 0 || failed?.outcome === 'undecided')
    checks.add(code, demanded ? 'undecided' : 'warning', details)
  else checks.add(code, failed === undefined ? 'pass' : demanded ? 'fail' : 'warning', details)
}
