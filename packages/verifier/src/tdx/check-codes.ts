import { DCAP_CHECKS } from '../dcap/check-codes.ts'

/** Every check of a TDX appraisal: the code, and what it says when it does not pass. */
export const TDX_CHECKS = {
  ...DCAP_CHECKS,
  'tdx.module.unknown': 'Intel names no TDX module of this version',
  'tdx.module.mismatch': 'The TDX module has another signer or attributes than Intel names',
  'tdx.module.not-allowed': 'The digest of the TDX module is not on the list',
  'tdx.policy.debug': 'The host may read and change the TD (DEBUG, or another bit of its group)',
  'tdx.policy.migratable': 'The TD may be migrated',
  'tdx.policy.sept-ve': 'SEPT_VE_DISABLE is not set: the host may provoke exceptions in the TD',
  'tdx.policy.reserved-bits':
    'Reserved TD attributes are set: a module newer than this verifier knows',
  'tdx.service-td.bound': 'A service TD is bound to the TD',
  'tdx.report-data.mismatch': 'REPORTDATA is not what was expected',
  'tdx.mr-td.mismatch': 'MRTD is none of the Reference Values',
  'tdx.mr-config-id.mismatch': 'MRCONFIGID is none of the expected values',
  'tdx.rtmr0.mismatch': 'RTMR0 is none of the Reference Values',
  'tdx.rtmr1.mismatch': 'RTMR1 is none of the Reference Values',
  'tdx.rtmr2.mismatch': 'RTMR2 is none of the Reference Values',
  'tdx.rtmr3.mismatch': 'RTMR3 is none of the Reference Values',
  'tdx.mr-owner.mismatch': 'MROWNER is not as expected',
  'tdx.mr-owner-config.mismatch': 'MROWNERCONFIG is not as expected',
} as const satisfies Record<string, string>

export type TdxCheckCode = keyof typeof TDX_CHECKS
