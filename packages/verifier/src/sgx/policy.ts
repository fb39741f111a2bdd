import { COUNT, FLAG } from '../result/policy-values.ts'
import type { PolicyRules } from '../result/policy-values.ts'
import { DCAP_POLICY_KEYS } from '../dcap/policy.ts'
import type { DcapPolicy } from '../dcap/policy.ts'
import type { ExpectedBytes } from '../result/expectation.ts'

/** Reference Values of one enclave. Leaving out one of the first three is an error; `'any'` skips it and shows in the result. */
export interface SgxExpect {
  /** 64 bytes. */
  readonly reportData: ExpectedBytes
  /** 32 bytes: the enclave's code. */
  readonly mrEnclave: ExpectedBytes
  /** 32 bytes: who signed it. */
  readonly mrSigner: ExpectedBytes
  /** 64 bytes. Absent means not checked, and the result says so; likewise all below. */
  readonly configId?: ExpectedBytes
  /** 16 bytes. */
  readonly isvFamilyId?: ExpectedBytes
  /** 16 bytes. */
  readonly isvExtProdId?: ExpectedBytes
}

/** Appraisal Policy. Whatever is absent is at its strictest sensible value. */
export interface SgxPolicy extends DcapPolicy {
  /** The host may then read and change the enclave. */
  readonly allowDebugEnclave?: boolean
  /** Absent means not checked. */
  readonly isvProdId?: number
  /** Absent means not checked. */
  readonly minimumIsvSvn?: number
}

/** What each member may hold, to refuse anything else. */
export const SGX_POLICY_KEYS: PolicyRules<SgxPolicy> = {
  ...DCAP_POLICY_KEYS,
  allowDebugEnclave: FLAG,
  isvProdId: COUNT,
  minimumIsvSvn: COUNT,
}
