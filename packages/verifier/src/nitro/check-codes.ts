/** Every check of a Nitro appraisal: the code, and what it says when it does not pass. */
export const NITRO_CHECKS = {
  'nitro.document.malformed': 'The document is not a COSE_Sign1 of the documented map',
  'nitro.document.algorithm-unsupported': 'The signature algorithm is not ES384',
  'nitro.document.archived': 'Dates were judged at the time that the document states',
  'nitro.endorsement.malformed': 'A certificate in the document cannot be parsed',
  'nitro.endorsement.untrusted-root': 'The first certificate of the bundle is no pinned root',
  'nitro.endorsement.name-mismatch': 'A certificate does not name the next one as its issuer',
  'nitro.endorsement.constraints':
    'A certificate lacks the rights of its place in the chain, or has too many',
  'nitro.endorsement.signature-invalid': 'A certificate was not signed by its issuer',
  'nitro.endorsement.expired': 'A certificate has expired',
  'nitro.endorsement.not-yet-valid': 'A certificate is not valid yet',
  'nitro.signature.invalid': 'The certificate in the document did not sign it',
  'nitro.policy.debug': 'The enclave runs in debug mode: PCR0 to PCR2 are zero',
  'nitro.pcr.mismatch': 'A PCR is absent or none of the Reference Values',
  'nitro.nonce.mismatch': 'The nonce is not what was expected',
  'nitro.user-data.mismatch': 'The user data is not what was expected',
  'nitro.public-key.mismatch': 'The public key is not what was expected',
} as const satisfies Record<string, string>

export type NitroCheckCode = keyof typeof NITRO_CHECKS
