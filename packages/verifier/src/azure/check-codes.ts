import { SNP_CHECKS } from '../snp/check-codes.ts'
import { TDX_CHECKS } from '../tdx/check-codes.ts'
import { TPM_QUOTE_CHECKS } from '../tpm/check-codes.ts'

/** Checks of what ties Azure's vTPM to the hardware: the code, and what it says when it does not pass. */
export const AZURE_CHECKS = {
  'azure.evidence.malformed': 'The Evidence is not the documented JSON',
  'azure.hcl.malformed': 'The HCL report is not of the documented layout',
  'azure.hcl.type-mismatch': 'The HCL report is of another TEE',
  'azure.hcl.binding-mismatch':
    'The hardware does not vouch for the runtime data, and so not for the key of the vTPM',
  'azure.runtime-data.malformed':
    'The runtime data repeat a name, or do not hold exactly one attestation key',
  'azure.user-data.mismatch': 'The user data are not what was expected',
  'azure.init-data.mismatch': 'PCR 8 is not extended with the expected init data',
} as const satisfies Record<string, string>

export type AzureCheckCode = keyof typeof AZURE_CHECKS

/** Every check of an Azure SNP appraisal. */
export const AZ_SNP_CHECKS = { ...SNP_CHECKS, ...TPM_QUOTE_CHECKS, ...AZURE_CHECKS } as const

export type AzSnpCheckCode = keyof typeof AZ_SNP_CHECKS

/** Every check of an Azure TDX appraisal. */
export const AZ_TDX_CHECKS = { ...TDX_CHECKS, ...TPM_QUOTE_CHECKS, ...AZURE_CHECKS } as const

export type AzTdxCheckCode = keyof typeof AZ_TDX_CHECKS
