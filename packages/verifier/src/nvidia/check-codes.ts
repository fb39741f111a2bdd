/** Every check of an NVIDIA appraisal: the code, and what it says when it does not pass. */
export const NVIDIA_CHECKS = {
  'nvidia.evidence.empty': 'There is no device in the Evidence, or too many',
  'nvidia.report.malformed':
    'The report is not an SPDM measurement exchange of the documented layout',
  'nvidia.endorsement.missing': 'No certificate of the device was given',
  'nvidia.endorsement.malformed': 'A certificate, or the firmware id in it, cannot be parsed',
  'nvidia.endorsement.incomplete': 'A certificate between device and root is missing',
  'nvidia.endorsement.untrusted-root': 'The chain does not end in the pinned root',
  'nvidia.endorsement.constraints':
    'A certificate lacks the rights of its place in the chain, or has too many',
  'nvidia.endorsement.signature-invalid': 'A certificate was not signed by its issuer',
  'nvidia.endorsement.expired': 'A certificate has expired',
  'nvidia.endorsement.not-yet-valid': 'A certificate is not valid yet',
  'nvidia.revocation.missing': 'Nobody asked whether a certificate is revoked',
  'nvidia.revocation.malformed': 'An OCSP response cannot be parsed, or says that it is none',
  'nvidia.revocation.signature-invalid':
    'Neither the issuer of the certificate nor its responder signed the OCSP response',
  'nvidia.revocation.expired': 'The OCSP response is past its next update',
  'nvidia.revocation.not-yet-valid': 'The OCSP response is from the future',
  'nvidia.revocation.revoked': 'A certificate is revoked',
  'nvidia.revocation.on-hold': 'A certificate is on hold: NVIDIA recalled that build',
  'nvidia.revocation.unknown': 'The responder does not know the certificate',
  'nvidia.signature.invalid': 'The device did not sign this report',
  'nvidia.fwid.missing': 'The device certificate does not say which firmware it was made for',
  'nvidia.fwid.mismatch': 'The report is from other firmware than the device certificate',
  'nvidia.nonce.mismatch': 'The nonce of the request is not what was expected',
  'nvidia.measurement.mismatch': 'A measurement is absent or none of the Reference Values',
  'nvidia.manifest.missing': 'No reference manifest of the driver or VBIOS version was given',
  'nvidia.manifest.malformed': 'A reference manifest is not of the documented shape',
  'nvidia.manifest.untrusted-root': 'The signer of a manifest does not lead to the pinned root',
  'nvidia.manifest.signature-invalid':
    'A manifest was not signed, or changed since, or its signer has no right to sign',
  'nvidia.manifest.expired': 'A certificate of the signer of a manifest has expired',
  'nvidia.manifest.not-yet-valid': 'A certificate of the signer of a manifest is not valid yet',
  'nvidia.manifest.conflict': 'The manifests of driver and VBIOS both name one measurement',
  'nvidia.manifest.measurement-mismatch': 'A measurement is none of those that the manifest names',
  'nvidia.driver.not-allowed': 'The driver version is not on the list',
  'nvidia.vbios.not-allowed': 'The VBIOS version is not on the list',
} as const satisfies Record<string, string>

export type NvidiaCheckCode = keyof typeof NVIDIA_CHECKS
