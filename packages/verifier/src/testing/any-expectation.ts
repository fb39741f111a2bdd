/** Expectations that look at nothing, for tests, fuzzing and benchmarks of what comes before them. */

export const ANY_SNP = { reportData: 'any', measurement: 'any', hostData: 'any' } as const

export const ANY_ENCLAVE = { reportData: 'any', mrEnclave: 'any', mrSigner: 'any' } as const

export const ANY_TD = {
  reportData: 'any',
  mrTd: 'any',
  mrConfigId: 'any',
  rtmr0: 'any',
  rtmr1: 'any',
  rtmr2: 'any',
  rtmr3: 'any',
} as const

export const ANY_CCA = {
  challenge: 'any',
  initialMeasurement: 'any',
  personalizationValue: 'any',
  rem0: 'any',
  rem1: 'any',
  rem2: 'any',
  rem3: 'any',
} as const

export const ANY_NITRO = {
  pcr0: 'any',
  pcr1: 'any',
  pcr2: 'any',
  nonce: 'any',
  userData: 'any',
  publicKey: 'any',
} as const
