/** Every check of an IBM Secure Execution appraisal: the code, and what it says when it does not pass. */
export const SE_CHECKS = {
  'se.evidence.malformed': 'The evidence lacks a member, or one has the wrong size',
  'se.measurement.invalid':
    'The ultravisor that holds the measurement key did not make this measurement',
  'se.host-key.missing':
    'No host key document was given: nothing says that the key is known to an ultravisor alone',
  'se.host-key.unsupported': 'The host key is not on P-521',
  'se.endorsement.malformed': 'A certificate cannot be parsed',
  'se.endorsement.incomplete': 'A certificate between host key document and root is missing',
  'se.endorsement.untrusted-root': 'The chain does not end in a root that the caller named',
  'se.endorsement.constraints':
    'A certificate lacks the rights of its place in the chain, or has too many',
  'se.endorsement.signature-invalid': 'A certificate was not signed by its issuer',
  'se.endorsement.expired': 'A certificate has expired',
  'se.endorsement.not-yet-valid': 'A certificate is not valid yet',
  'se.revocation.malformed': 'A revocation list cannot be parsed',
  'se.revocation.missing': 'The revocation list of an issuer was not given',
  'se.revocation.signature-invalid': 'A revocation list was not signed by its issuer',
  'se.revocation.expired': 'A revocation list is past its next update',
  'se.revocation.not-yet-valid': 'A revocation list is from the future',
  'se.revocation.revoked': 'A certificate is revoked',
  'se.image-header-tags.mismatch': 'The image is none of the Reference Values',
  'se.user-data.mismatch': 'The user data is not what was expected',
  'se.cuid.mismatch': 'The configuration unique id is not what was expected',
  'se.image-phkh.mismatch': 'The image was started with another host key than expected',
  'se.attestation-phkh.mismatch':
    'The measurement key was wrapped for another host key than expected',
} as const satisfies Record<string, string>

export type SeCheckCode = keyof typeof SE_CHECKS
