/** What it means for a person that an area of checks passed. */
interface CheckArea {
  /** Last words of the codes that must be among those that passed, or the sentence would say too much. */
  readonly needs: readonly string[]
  readonly says: string
}

export const CHECK_AREAS: Readonly<Record<string, CheckArea>> = {
  'snp.report': {
    needs: ['malformed', 'host-requested', 'chip-key-masked'],
    says: 'a report that the guest asked for, signed with a named chip’s key',
  },
  'snp.endorsement': {
    needs: ['signature-invalid', 'untrusted-root', 'expired', 'tcb-mismatch'],
    says: 'certificates lead to a root that counts, are in date and for this firmware',
  },
  'snp.product': { needs: ['mismatch'], says: 'the processor’s line is the certificates’ own' },
  'snp.revocation': {
    needs: ['signature-invalid', 'expired', 'revoked'],
    says: 'the vendor’s list is in date and revokes none of them',
  },
  'snp.signature': { needs: ['invalid'], says: 'the report is signed by that key' },
  'snp.tcb': { needs: ['order'], says: 'versions of the firmware are in order' },
  'snp.firmware': { needs: ['provisional'], says: 'no firmware that waits for its commit' },
  'snp.report-data': { needs: ['mismatch'], says: 'fresh: over the expected nonce and keys' },
  'snp.measurement': {
    needs: ['mismatch'],
    says: 'the launch digest is one that you expect',
  },
  'snp.host-data': {
    needs: ['mismatch'],
    says: 'launched with exactly this initdata',
  },
  'snp.vmpl': { needs: ['mismatch'], says: 'from the guest’s most privileged level' },
  'snp.policy': {
    needs: ['debug', 'migration-agent'],
    says: 'no debugging by the host, no migration agent',
  },
  'dcap.quote': { needs: ['malformed', 'signature-invalid'], says: 'a signed quote' },
  'dcap.endorsement': {
    needs: ['untrusted-root', 'expired'],
    says: 'certificates lead to Intel’s root and are in date',
  },
  'dcap.revocation': {
    needs: ['signature-invalid', 'expired', 'revoked'],
    says: 'Intel’s lists are in date and revoke none of them',
  },
  'tdx.policy': { needs: ['debug', 'migratable'], says: 'no debugging by the host, no migration' },
  'tdx.report-data': { needs: ['mismatch'], says: 'fresh: over the expected nonce and keys' },
  'tpm.quote': {
    needs: ['malformed', 'signature-invalid', 'digest-mismatch'],
    says: 'quotes are signed and hold what the registers had',
  },
  'tpm.nonce': { needs: ['mismatch'], says: 'fresh: over the expected nonce and keys' },
  workload: { needs: ['registered'], says: 'the current revision of the workload you registered' },
}
