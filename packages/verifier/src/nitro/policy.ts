import { FLAG, TEXTS } from '../result/policy-values.ts'
import type { PolicyRules } from '../result/policy-values.ts'
import type { ExpectedBytes } from '../result/expectation.ts'

/** Names of the PCRs of which a Reference Value can be given. */
export const PCR_NAMES = Array.from({ length: 32 }, (_, index) => `pcr${index}` as const)

export type PcrName = `pcr${number}`

/**
 * Reference Values of one enclave. Leaving out one of the first six is an error; `'any'` skips it and shows in the result. A field that
 * the document does not have matches no value.
 */
export interface NitroExpect {
  /** 48 bytes: the enclave image file. */
  readonly pcr0: ExpectedBytes
  /** 48 bytes: kernel and boot file system. */
  readonly pcr1: ExpectedBytes
  /** 48 bytes: the application. */
  readonly pcr2: ExpectedBytes
  /** At most 1024 bytes. */
  readonly nonce: ExpectedBytes
  /** At most 1024 bytes. */
  readonly userData: ExpectedBytes
  /** At most 1024 bytes. */
  readonly publicKey: ExpectedBytes
  /**
   * 48 bytes each, up to `pcr31`: 3 is the parent instance's role, 4 its id, 8 the certificate that signed the image. Absent means not
   * checked, and the result says so.
   */
  readonly [pcr: PcrName]: ExpectedBytes
}

/** Appraisal Policy. Whatever is absent is at its strictest. */
export interface NitroPolicy {
  /** The parent instance may then read the enclave's console, and PCR0 to PCR2 are zero. */
  readonly allowDebugEnclave?: boolean
  /**
   * For archived documents: judges dates at the time in the document instead of `now`, with a warning. Leaf certificates live three hours.
   */
  readonly judgeAtDocumentTime?: boolean
  /** SHA-256 fingerprints, in hex, of the roots of further AWS partitions (China, GovCloud). */
  readonly partitionRoots?: readonly string[]
}

/** What each member may hold, to refuse anything else. */
export const NITRO_POLICY_KEYS: PolicyRules<NitroPolicy> = {
  allowDebugEnclave: FLAG,
  judgeAtDocumentTime: FLAG,
  partitionRoots: TEXTS,
}
