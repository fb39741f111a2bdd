import { EVENT_LOG_CHECKS } from '../eventlog/check-codes.ts'

/** Checks of a TPM's quotes, shared by the Evidence of bare TPMs and of Azure: the code, and what it says when it does not pass. */
export const TPM_QUOTE_CHECKS = {
  'tpm.evidence.malformed': 'The Evidence is in no known form, or a part of it is malformed',
  'tpm.quote.malformed': 'The quote is not of the documented layout',
  'tpm.quote.not-generated': 'What is signed does not say that a TPM made it',
  'tpm.quote.type-unsupported': 'What is signed is no quote',
  'tpm.quote.signature-invalid': 'The attestation key did not sign this quote',
  'tpm.quote.digest-mismatch': 'The PCR values are not those that were quoted',
  'tpm.ak.key-unsupported':
    'The attestation key is no RSA key of 2048 bits or more, P-256 or P-384',
  'tpm.nonce.mismatch':
    'The nonce is not what was expected: an old quote, or one for somebody else',
  'tpm.nonce.size': 'The nonce has another size than this kind of Evidence allows',
  'tpm.pcr.not-quoted': 'The quotes do not cover a PCR that was expected, or no accepted bank',
  'tpm.pcr.mismatch': 'A PCR is none of the Reference Values',
} as const satisfies Record<string, string>

export type TpmQuoteCheckCode = keyof typeof TPM_QUOTE_CHECKS

/** Every check of a TPM appraisal. */
export const TPM_CHECKS = {
  ...TPM_QUOTE_CHECKS,
  'tpm.ak.attributes': 'The attestation key could leave its TPM, or sign what the TPM did not make',
  'tpm.ak.mismatch': 'The attestation key is none of the expected keys',
  'tpm.ak.not-certified': 'Nobody vouches for the attestation key',
  'tpm.ak.certificate-malformed': 'A certificate cannot be parsed, or is not of a TPM key',
  'tpm.ak.certificate-mismatch': 'The certificate is of another key than the attestation key',
  'tpm.ak.untrusted-root': 'The certificate does not lead to a root that the caller trusts',
  'tpm.ak.expired': 'A certificate has expired',
  'tpm.ak.not-yet-valid': 'A certificate is not valid yet',
  'tpm.clock.unsafe': 'The clock of the TPM may have gone back',
  'tpm.binding.unproven':
    'Nothing ties this TPM to a TEE: its PCRs are worth what whoever runs the TPM is',
  ...EVENT_LOG_CHECKS,
} as const satisfies Record<string, string>

export type TpmCheckCode = keyof typeof TPM_CHECKS
