/** Checks of a boot against its owner's baseline, beside those of event logs: the code, and what it says when it does not pass. */
export const INTEGRITY_CHECKS = {
  'integrity.unquoted':
    'No quote of a TPM stands behind the event log: it was found in memory that the host can write, or nobody vouches for the key that quotes',
  'integrity.quote':
    'What was given as a quote of the TPM does not hold, or is not over the registers that the event log adds up to',
  'integrity.baseline-missing': 'There is no baseline yet that the boot could be compared with',
  'integrity.bank-missing': 'The event log has no digests but SHA-1',
  'integrity.early-boot':
    'Firmware, Secure Boot variables, boot loaders or partitions are not those of the baseline',
  'integrity.late-boot':
    "The boot loader's configuration, the kernel's command line or the initial file system are not those of the baseline",
} as const satisfies Record<string, string>

export type IntegrityCheckCode = keyof typeof INTEGRITY_CHECKS
