/** Every check of a CCA appraisal: the code, and what it says when it does not pass. */
export const CCA_CHECKS = {
  'cca.token.malformed': 'The token or its claims are not of the documented shape',
  'cca.realm.algorithm-unsupported': 'The realm token is not signed with ES384',
  'cca.realm.signature-invalid': 'The realm key did not sign the realm token',
  'cca.realm.key-mismatch': 'The platform vouches for another realm key',
  'cca.platform.algorithm-unsupported':
    'The platform token is not signed with ES256, ES384 or ES512',
  'cca.platform.key-missing': 'No platform key was given for this implementation and instance',
  'cca.platform.key-malformed': 'A platform key is no public key in DER or PEM',
  'cca.platform.signature-invalid': 'No given platform key signed the platform token',
  'cca.platform.not-secured': 'The platform is not in the lifecycle state secured',
  'cca.component.not-allowed': 'A software component of the platform is not on the list',
  'cca.challenge.mismatch': 'The realm challenge is not what was expected',
  'cca.initial-measurement.mismatch': 'The initial measurement is none of the Reference Values',
  'cca.personalization-value.mismatch': 'The personalization value is not what was expected',
  'cca.rem0.mismatch': 'REM[0] is none of the Reference Values',
  'cca.rem1.mismatch': 'REM[1] is none of the Reference Values',
  'cca.rem2.mismatch': 'REM[2] is none of the Reference Values',
  'cca.rem3.mismatch': 'REM[3] is none of the Reference Values',
  'cca.implementation-id.mismatch': 'The implementation id is not as expected',
  'cca.instance-id.mismatch': 'The instance id is not as expected',
  'cca.platform-config.mismatch': 'The platform configuration is not as expected',
} as const satisfies Record<string, string>

export type CcaCheckCode = keyof typeof CCA_CHECKS
