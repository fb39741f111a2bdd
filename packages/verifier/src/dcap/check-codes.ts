/** Checks that TDX and SGX appraisals share: the code, and what it says when it does not pass. */
export const DCAP_CHECKS = {
  'dcap.quote.malformed': 'The quote is not of the documented layout',
  'dcap.quote.version-unsupported': 'The quote version is not one of 3 to 5',
  'dcap.quote.key-type-unsupported': 'The attestation key is not ECDSA P-256',
  'dcap.quote.vendor-unknown': 'The Quoting Enclave is not of Intel',
  'dcap.quote.tee-mismatch': 'The quote is of another TEE',
  'dcap.quote.signature-invalid': 'The attestation key did not sign this quote',
  'dcap.qe.signature-invalid': 'The PCK key did not sign the report of the Quoting Enclave',
  'dcap.qe.key-mismatch': 'The Quoting Enclave vouches for another attestation key',
  'dcap.qe.identity-mismatch': 'The Quoting Enclave is not the one that Intel names',
  'dcap.pck.missing': 'No PCK certificate, or none of its issuers, was given',
  'dcap.pck.malformed': 'The PCK certificate lacks what it must say of its platform',
  'dcap.endorsement.malformed': 'A certificate or a collateral file cannot be parsed',
  'dcap.endorsement.untrusted-root': 'A chain does not end in the pinned root',
  'dcap.endorsement.name-mismatch':
    'A certificate does not carry the name of its place in the chain',
  'dcap.endorsement.expired': 'A certificate has expired',
  'dcap.endorsement.not-yet-valid': 'A certificate is not valid yet',
  'dcap.revocation.missing': 'The revocation list of the root or of the PCK issuer was not given',
  'dcap.revocation.signature-invalid': 'A revocation list was not signed by its issuer',
  'dcap.revocation.expired': 'A revocation list is past its next update',
  'dcap.revocation.not-yet-valid': 'A revocation list is from the future',
  'dcap.revocation.revoked': 'A certificate is revoked',
  'dcap.tcb-info.missing': 'No TCB info was given, or not the certificate that signs it',
  'dcap.tcb-info.mismatch': 'The TCB info is of another platform',
  'dcap.tcb-info.signature-invalid': 'Intel did not sign the TCB info',
  'dcap.tcb-info.expired': 'The TCB info is past its next update',
  'dcap.tcb-info.not-yet-valid': 'The TCB info is from the future',
  'dcap.qe-identity.missing':
    'No identity of the Quoting Enclave was given, or not the certificate that signs it',
  'dcap.qe-identity.signature-invalid': 'Intel did not sign the identity of the Quoting Enclave',
  'dcap.qe-identity.expired': 'The identity of the Quoting Enclave is past its next update',
  'dcap.qe-identity.not-yet-valid': 'The identity of the Quoting Enclave is from the future',
  'dcap.tcb.not-supported': 'The platform is below every published TCB level',
  'dcap.tcb.revoked': 'The TCB level of the platform is revoked',
  'dcap.tcb.status': 'The TCB level is not up to date, and the policy does not accept its status',
  'dcap.tcb.early-status':
    'The next TCB recovery will not accept this platform, or the early collateral cannot be judged',
  'dcap.tcb.evaluation-below-minimum': 'The collateral is of an older TCB recovery than required',
  'dcap.platform.not-allowed': 'The platform is not on the list',
} as const satisfies Record<string, string>

export type DcapCheckCode = keyof typeof DCAP_CHECKS
