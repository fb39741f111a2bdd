import { FLAG, TEXTS, oneOf } from '../result/policy-values.ts'
import type { PolicyRules } from '../result/policy-values.ts'
import { EVENT_LOG_POLICY_KEYS } from '../eventlog/appraise.ts'
import type { EventLogPolicy } from '../eventlog/appraise.ts'
import type { ExpectedBytes } from '../result/expectation.ts'
import type { ExpectedField } from '../result/fields.ts'
import type { HashName } from './algorithms.ts'
import type { TpmQuoteCheckCode } from './check-codes.ts'
import { PCR_COUNT } from './evidence.ts'

export type PcrName =
  | `pcr${0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10 | 11 | 12 | 13 | 14 | 15}`
  | `pcr${16 | 17 | 18 | 19 | 20 | 21 | 22 | 23}`

/** Reference Values of PCRs, each of the size of the chosen bank. */
export type PcrExpect = Readonly<Record<PcrName, ExpectedBytes>>

export const PCR_NAMES: readonly PcrName[] = Array.from(
  { length: PCR_COUNT },
  (_, index) => `pcr${index}` as PcrName,
)

/** No PCR is looked at, and the result says so; spread it and name those that matter. */
export const ANY_PCRS = Object.fromEntries(PCR_NAMES.map((name) => [name, 'any'])) as Readonly<
  Record<PcrName, 'any'>
>

export const PCR_FIELDS: readonly ExpectedField<PcrName, TpmQuoteCheckCode>[] = PCR_NAMES.map(
  (name) => ({ name, code: 'tpm.pcr.mismatch', size: { upTo: 64 }, demanded: true }),
)

/** Reference Values of one machine. Leaving one out is an error; `'any'` skips it and shows in the result. */
export interface TpmExpect extends PcrExpect {
  /** The nonce that the quote must carry, byte for byte. */
  readonly reportData: ExpectedBytes
  /** 32 bytes: SHA-256 of the attestation key's SubjectPublicKeyInfo. */
  readonly ak: ExpectedBytes
}

/** Appraisal Policy. Whatever is absent is at its strictest. */
export interface TpmPolicy extends EventLogPolicy {
  /** Absent means the strongest bank that was quoted. */
  readonly pcrBank?: Exclude<HashName, 'sm3'>
  /** Accepts the SHA-1 bank, in which events can be made to collide, when no other was quoted or `pcrBank` names it; a warning. */
  readonly allowSha1?: boolean
  /** SHA-256 fingerprints (hex) of roots of TPM makers or of one's own, under which attestation keys are certified. */
  readonly trustedRoots?: readonly string[]
}

/** What each member may hold, to refuse anything else. */
export const TPM_POLICY_KEYS: PolicyRules<TpmPolicy> = {
  ...EVENT_LOG_POLICY_KEYS,
  pcrBank: oneOf('sha1', 'sha256', 'sha384', 'sha512'),
  allowSha1: FLAG,
  trustedRoots: TEXTS,
}

/**
 * Roots under which Google certifies the virtual TPMs of Compute Engine, for `trustedRoots`. Those TPMs are Google's software: they say
 * what the guest booted to everybody but Google.
 */
export const GCE_TPM_ROOTS: readonly string[] = [
  '9bd5285f8fb18502a7947e621ffd470266f49fcd3b73e19a190f690ad32a7caf',
  '594759594b9b61524f6c8ef668f7177f7b9066bc0674f2f49fe9e052be78beb2',
]
