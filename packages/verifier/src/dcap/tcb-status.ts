/** Statuses of Intel's TCB levels and how those of platform, module and QE come together (DCAP QVL, converge tables). */
/** What Intel's collateral may say; the relaunch statuses are worked out by verifiers. */
export const SIGNED_STATUSES = [
  'UpToDate',
  'SWHardeningNeeded',
  'ConfigurationNeeded',
  'ConfigurationAndSWHardeningNeeded',
  'OutOfDate',
  'OutOfDateConfigurationNeeded',
  'Revoked',
] as const

export const TCB_STATUSES = [
  ...SIGNED_STATUSES,
  'TDRelaunchAdvised',
  'TDRelaunchAdvisedConfigurationNeeded',
] as const
export type TcbStatus = (typeof TCB_STATUSES)[number]

/** @param part - of the QE or of the TDX module */
export function convergeStatus(platform: TcbStatus, part: TcbStatus): TcbStatus {
  if (part === 'Revoked') return 'Revoked'
  const outOfDate = part === 'OutOfDate' || part === 'OutOfDateConfigurationNeeded'
  const merged = outOfDate ? withOutOfDate(platform) : platform
  const configuration = part === 'ConfigurationNeeded' || part === 'OutOfDateConfigurationNeeded'
  return configuration ? withConfiguration(merged) : merged
}

function withOutOfDate(platform: TcbStatus): TcbStatus {
  switch (platform) {
    case 'UpToDate':
    case 'SWHardeningNeeded':
      return 'OutOfDate'
    case 'ConfigurationNeeded':
    case 'ConfigurationAndSWHardeningNeeded':
      return 'OutOfDateConfigurationNeeded'
    case 'OutOfDate':
    case 'OutOfDateConfigurationNeeded':
    case 'TDRelaunchAdvised':
    case 'TDRelaunchAdvisedConfigurationNeeded':
    case 'Revoked':
      return platform
    default:
      return platform satisfies never
  }
}

function withConfiguration(status: TcbStatus): TcbStatus {
  switch (status) {
    case 'UpToDate':
      return 'ConfigurationNeeded'
    case 'SWHardeningNeeded':
      return 'ConfigurationAndSWHardeningNeeded'
    case 'OutOfDate':
      return 'OutOfDateConfigurationNeeded'
    case 'TDRelaunchAdvised':
      return 'TDRelaunchAdvisedConfigurationNeeded'
    case 'ConfigurationNeeded':
    case 'ConfigurationAndSWHardeningNeeded':
    case 'OutOfDateConfigurationNeeded':
    case 'TDRelaunchAdvisedConfigurationNeeded':
    case 'Revoked':
      return status
    default:
      return status satisfies never
  }
}

/** Whether a status speaks of configuration, which a relaunch does not mend. */
export function needsConfiguration(status: TcbStatus): boolean {
  return status.includes('Configuration')
}
