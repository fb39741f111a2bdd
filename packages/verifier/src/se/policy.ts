import { FLAG, TEXTS } from '../result/policy-values.ts'
import type { PolicyRules } from '../result/policy-values.ts'
import type { ExpectedBytes } from '../result/expectation.ts'

/** Reference Values of one guest. Leaving out one of the first two is an error; `'any'` skips it and shows in the result. */
export interface SeExpect {
  /** 208 bytes of the image's Secure Execution header: PLD, ALD, TLD, tag. */
  readonly imageHeaderTags: ExpectedBytes
  /** At most 256 bytes: what the guest was asked to report over. */
  readonly userData: ExpectedBytes
  /** 16 bytes. Absent means not checked, and the result says so; likewise all below. */
  readonly cuid?: ExpectedBytes
  /** 32 bytes of the additional data: the host key with which the image was started. */
  readonly imagePhkh?: ExpectedBytes
  /** 32 bytes of the additional data: the host key for which the request was made. */
  readonly attestationPhkh?: ExpectedBytes
}

/** Appraisal Policy. Whatever is absent is at its strictest. */
export interface SePolicy {
  /** SHA-256 fingerprints, in hex, of the roots that may vouch for host keys. Absent means none. */
  readonly trustedRoots?: readonly string[]
  /** Without the lists of both authorities the Evidence is undecided; this makes it `not-checked` instead. */
  readonly allowMissingRevocationLists?: boolean
}

/** What each member may hold, to refuse anything else. */
export const SE_POLICY_KEYS: PolicyRules<SePolicy> = {
  trustedRoots: TEXTS,
  allowMissingRevocationLists: FLAG,
}
