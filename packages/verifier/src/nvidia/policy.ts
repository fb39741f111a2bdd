import { FLAG, TEXTS } from '../result/policy-values.ts'
import type { PolicyRules } from '../result/policy-values.ts'
import type { ExpectedBytes } from '../result/expectation.ts'

export type MeasurementName = `measurement${number}`

/** Names of the measurements of which a Reference Value can be given, by the report's own index from 1. */
export const MEASUREMENT_NAMES = Array.from(
  { length: 255 },
  (_, index) => `measurement${index + 1}` as const,
)

/** Reference Values that every device must meet. */
export interface NvidiaExpect {
  /** 32 bytes. Leaving it out is an error; `'any'` skips it and shows in the result. */
  readonly nonce: ExpectedBytes
  /** 48 bytes each: `measurement1` and so on. Absent means not checked, and the result says so. */
  readonly [measurement: MeasurementName]: ExpectedBytes
}

/** Appraisal Policy. */
export interface NvidiaPolicy {
  /** Such as `550.90.07`. Absent means not checked, and the result says so. */
  readonly allowedDrivers?: readonly string[]
  /** Such as `96.00.9f.00.01`, lower case. Absent means not checked, and the result says so. */
  readonly allowedVbios?: readonly string[]
  /** A device without the manifests of its driver and VBIOS is undecided. */
  readonly requireManifests?: boolean
  /** A certificate of which no OCSP response was given leaves the Evidence undecided. */
  readonly requireRevocationStatus?: boolean
  /** Accepts, with a warning, certificates on hold: NVIDIA recalled their build. */
  readonly allowCertificateHold?: boolean
}

/** What each member may hold, to refuse anything else. */
export const NVIDIA_POLICY_KEYS: PolicyRules<NvidiaPolicy> = {
  allowedDrivers: TEXTS,
  allowedVbios: TEXTS,
  requireManifests: FLAG,
  requireRevocationStatus: FLAG,
  allowCertificateHold: FLAG,
}
