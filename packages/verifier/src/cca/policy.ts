import { FLAG, OBJECT, listOfRule } from '../result/policy-values.ts'
import type { PolicyRules } from '../result/policy-values.ts'
import type { ExpectedBytes } from '../result/expectation.ts'

/** Reference Values of one realm. Leaving out one of the first seven is an error; `'any'` skips it and shows in the result. */
export interface CcaExpect {
  /** 64 bytes: what the realm was asked to report over. */
  readonly challenge: ExpectedBytes
  /** 32, 48 or 64 bytes: RIM. */
  readonly initialMeasurement: ExpectedBytes
  /** 64 bytes. */
  readonly personalizationValue: ExpectedBytes
  /** 32, 48 or 64 bytes each. */
  readonly rem0: ExpectedBytes
  readonly rem1: ExpectedBytes
  readonly rem2: ExpectedBytes
  readonly rem3: ExpectedBytes
  /** 32 bytes. Absent means not checked, and the result says so; likewise all below. */
  readonly implementationId?: ExpectedBytes
  /** 33 bytes. */
  readonly instanceId?: ExpectedBytes
  /** At most 4096 bytes. */
  readonly platformConfig?: ExpectedBytes
}

/** One version of platform firmware that may run. */
export interface AllowedComponent {
  /** Hex. */
  readonly measurement: string
  /** Hex. Absent means any signer. */
  readonly signerId?: string
}

/** Appraisal Policy. Whatever is absent is at its strictest sensible value. */
export interface CcaPolicy {
  /** Accepts lifecycle states other than secured, with a warning: firmware or a debugger may then read the realm. */
  readonly allowUnsecuredPlatform?: boolean
  /** Every software component must be one of these. Absent means not checked, and the result says so. */
  readonly allowedComponents?: readonly AllowedComponent[]
}

/** What each member may hold, to refuse anything else. */
export const CCA_POLICY_KEYS: PolicyRules<CcaPolicy> = {
  allowUnsecuredPlatform: FLAG,
  allowedComponents: listOfRule(OBJECT, 'a list of objects'),
}
