import { FLAG, TEXTS } from '../result/policy-values.ts'
import type { PolicyRules } from '../result/policy-values.ts'
import { DCAP_POLICY_KEYS } from '../dcap/policy.ts'
import type { DcapPolicy } from '../dcap/policy.ts'
import type { ExpectedBytes } from '../result/expectation.ts'

/** Reference Values of one TD. Leaving out one of the first seven is an error; `'any'` skips it and shows in the result. */
export interface TdxExpect {
  /** 64 bytes. */
  readonly reportData: ExpectedBytes
  /** 48 bytes: the firmware; the same for all below. */
  readonly mrTd: ExpectedBytes
  readonly mrConfigId: ExpectedBytes
  readonly rtmr0: ExpectedBytes
  readonly rtmr1: ExpectedBytes
  readonly rtmr2: ExpectedBytes
  readonly rtmr3: ExpectedBytes
  /** Absent means not checked, and the result says so; likewise the next. */
  readonly mrOwner?: ExpectedBytes
  readonly mrOwnerConfig?: ExpectedBytes
}

/** Appraisal Policy. Whatever is absent is at its strictest sensible value. */
export interface TdxPolicy extends DcapPolicy {
  /** The host may then read and change the TD. */
  readonly allowDebugTd?: boolean
  readonly allowMigratableTd?: boolean
  /** Refuses TDs without SEPT_VE_DISABLE, which is a warning otherwise. */
  readonly requireSeptVeDisable?: boolean
  /** MRSERVICETD values (48 bytes in hex). Absent: a bound service TD is a warning. */
  readonly allowedServiceTds?: readonly string[]
  /** MRSEAM values (48 bytes in hex) of accepted modules; Intel's collateral names only their signer. */
  readonly allowedModules?: readonly string[]
}

/** What each member may hold, to refuse anything else. */
export const TDX_POLICY_KEYS: PolicyRules<TdxPolicy> = {
  ...DCAP_POLICY_KEYS,
  allowDebugTd: FLAG,
  allowMigratableTd: FLAG,
  requireSeptVeDisable: FLAG,
  allowedServiceTds: TEXTS,
  allowedModules: TEXTS,
}
