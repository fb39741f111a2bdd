/** Promise: an SGX quote with its collateral cached costs at most 1.25 times its own two signature checks; cold, 1.3 times all of them. */
import type { SgxAppraiseOptions } from '@cloister/verifier/sgx/appraise'
import { ANY_ENCLAVE } from '@cloister/verifier/testing/any-expectation'
import { FAKE_QE, FakeIntel } from '@cloister/verifier/testing/fake-intel'
import type { Figure } from './figure.ts'
import { dcapFigures } from './support/dcap-figures.ts'

export async function run(): Promise<readonly Figure[]> {
  const intel = new FakeIntel()
  const initialised = Uint8Array.of(5, ...new Uint8Array(15))
  const quote = intel.quote({ kind: 'sgx', report: { ...FAKE_QE, attributes: initialised } })
  return dcapFigures('SGX', intel, quote, (options: Omit<SgxAppraiseOptions, 'expect'>) =>
    intel.appraiseSgx(quote, { expect: ANY_ENCLAVE, ...options }),
  )
}

if (import.meta.main) for (const figure of await run()) console.log(figure)
