/** Every check code of every TEE, with what it says when it does not pass, why that is as a rule, and what to do. No appraisal imports it. */
import { AZURE_CHECKS } from '../azure/check-codes.ts'
import type { AzSnpCheckCode, AzTdxCheckCode } from '../azure/check-codes.ts'
import { CCA_CHECKS } from '../cca/check-codes.ts'
import type { CcaCheckCode } from '../cca/check-codes.ts'
import { DCAP_CHECKS } from '../dcap/check-codes.ts'
import { INTEGRITY_CHECKS } from '../eventlog/integrity-checks.ts'
import type { IntegrityCheckCode } from '../eventlog/integrity-checks.ts'
import { NITRO_CHECKS } from '../nitro/check-codes.ts'
import type { NitroCheckCode } from '../nitro/check-codes.ts'
import { NVIDIA_CHECKS } from '../nvidia/check-codes.ts'
import type { NvidiaCheckCode } from '../nvidia/check-codes.ts'
import { SE_CHECKS } from '../se/check-codes.ts'
import type { SeCheckCode } from '../se/check-codes.ts'
import { SGX_CHECKS } from '../sgx/check-codes.ts'
import type { SgxCheckCode } from '../sgx/check-codes.ts'
import { SNP_CHECKS } from '../snp/check-codes.ts'
import type { SnpCheckCode } from '../snp/check-codes.ts'
import { TDX_CHECKS } from '../tdx/check-codes.ts'
import type { TdxCheckCode } from '../tdx/check-codes.ts'
import { TPM_CHECKS } from '../tpm/check-codes.ts'
import type { TpmCheckCode } from '../tpm/check-codes.ts'
import { CAUSES } from './causes.ts'
import { FIXES } from './fixes.ts'

export type CheckCode =
  | SnpCheckCode
  | TdxCheckCode
  | SgxCheckCode
  | TpmCheckCode
  | IntegrityCheckCode
  | AzSnpCheckCode
  | AzTdxCheckCode
  | NitroCheckCode
  | CcaCheckCode
  | NvidiaCheckCode
  | SeCheckCode

export interface CheckEntry {
  /** What the check says when it does not pass. */
  readonly meaning: string
  /** Why that is, as a rule. */
  readonly cause: string
  readonly fix: string
}

/** In the order of the reference page. */
export const CHECK_SECTIONS: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
  ['AMD SEV-SNP', SNP_CHECKS],
  ['Intel TDX and SGX: quotes and collateral', DCAP_CHECKS],
  ['Intel TDX', ownOf(TDX_CHECKS)],
  ['Intel SGX', ownOf(SGX_CHECKS)],
  ['TPM 2.0 and event logs', TPM_CHECKS],
  ['Integrity of a VM that boots its own disk', INTEGRITY_CHECKS],
  ['Azure confidential VMs', AZURE_CHECKS],
  ['AWS Nitro Enclaves', NITRO_CHECKS],
  ['Arm CCA', CCA_CHECKS],
  ['NVIDIA GPUs and switches', NVIDIA_CHECKS],
  ['IBM Secure Execution', SE_CHECKS],
]

const MEANINGS: Readonly<Record<CheckCode, string>> = {
  ...SNP_CHECKS,
  ...TDX_CHECKS,
  ...SGX_CHECKS,
  ...TPM_CHECKS,
  ...INTEGRITY_CHECKS,
  ...AZURE_CHECKS,
  ...NITRO_CHECKS,
  ...CCA_CHECKS,
  ...NVIDIA_CHECKS,
  ...SE_CHECKS,
}

export const CHECK_CODES = Object.keys(MEANINGS) as readonly CheckCode[]

export function isCheckCode(code: string): code is CheckCode {
  return Object.hasOwn(MEANINGS, code)
}

/** @throws TypeError when a table has nothing for the code: a defect, which a test looks for */
export function explainCheck(code: CheckCode): CheckEntry {
  return { meaning: MEANINGS[code], cause: adviceOf(CAUSES, code), fix: adviceOf(FIXES, code) }
}

/** Of the longest prefix of the code that has one. */
function adviceOf(table: Readonly<Record<string, string>>, code: string): string {
  const parts = code.split('.')
  for (let length = parts.length; length > 0; length--) {
    const advice = table[parts.slice(0, length).join('.')]
    if (advice !== undefined) return advice
  }
  throw new TypeError(`no advice for ${code}`)
}

function ownOf(table: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(table).filter(([code]) => !(code in DCAP_CHECKS)))
}
