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
