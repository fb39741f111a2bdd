import { DCAP_CHECKS } from '../dcap/check-codes.ts'

/** Every check of an SGX appraisal: the code, and what it says when it does not pass. */
export const SGX_CHECKS = {
  ...DCAP_CHECKS,
  'sgx.policy.debug': 'The host may read and change the enclave (DEBUG)',
  'sgx.policy.not-initialised': 'The enclave was not initialised (INIT)',
  'sgx.report-data.mismatch': 'REPORTDATA is not what was expected',
  'sgx.mr-enclave.mismatch': 'MRENCLAVE is none of the Reference Values',
  'sgx.mr-signer.mismatch': 'MRSIGNER is none of the Reference Values',
  'sgx.config-id.mismatch': 'CONFIGID is not as expected',
  'sgx.isv-family-id.mismatch': 'ISVFAMILYID is not as expected',
  'sgx.isv-ext-prod-id.mismatch': 'ISVEXTPRODID is not as expected',
  'sgx.isv-prod-id.mismatch': 'ISVPRODID is not as expected',
  'sgx.isv-svn.below-minimum': 'ISVSVN is too low',
} as const satisfies Record<string, string>

export type SgxCheckCode = keyof typeof SGX_CHECKS
