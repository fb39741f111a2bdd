/**
 * Promise: a TDX quote with its collateral cached costs at most 1.25 times its own two signature checks; cold, 1.3 times all of them.
 * A quoting enclave signs many quotes with one attestation key, so a cached platform brings that key along, checked before.
 */
import { ANY_TD } from '@cloister/verifier/testing/any-expectation'
import { FAKE_TD, FakeIntel } from '@cloister/verifier/testing/fake-intel'
import type { TdxAppraiseOptions } from '@cloister/verifier/tdx/appraise'
import type { Figure } from './figure.ts'
import { dcapFigures } from './support/dcap-figures.ts'

export async function run(): Promise<readonly Figure[]> {
  const intel = new FakeIntel()
  const quote = intel.quote({ kind: 'tdx', report: FAKE_TD })
  return dcapFigures('TDX', intel, quote, (options: Omit<TdxAppraiseOptions, 'expect'>) =>
    intel.appraiseTdx(quote, { expect: ANY_TD, ...options }),
  )
}
