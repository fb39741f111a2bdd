/** Quoted PCRs against what is expected of them. */
import { toHex } from '../bytes/hex.ts'
import type { CheckSink } from '../result/check.ts'
import { checkExpected } from '../result/expectation.ts'
import type { Expectations } from '../result/fields.ts'
import type { HashName } from './algorithms.ts'
import type { TpmQuoteCheckCode } from './check-codes.ts'
import { PCR_NAMES } from './policy.ts'
import type { PcrName } from './policy.ts'

type Checks = CheckSink<TpmQuoteCheckCode>
type Banks = ReadonlyMap<HashName, ReadonlyMap<number, Uint8Array>>

const STRONGEST_FIRST: readonly HashName[] = ['sha512', 'sha384', 'sha256', 'sha1']

export interface BankChoice {
  readonly pcrBank?: HashName
  readonly allowSha1?: boolean
}

/** The bank to go by, or undefined with the reason among the checks. */
export function chooseBank(
  banks: Banks,
  { pcrBank, allowSha1 }: BankChoice,
  checks: Checks,
): HashName | undefined {
  const usable = STRONGEST_FIRST.filter(
    (name) => banks.has(name) && (name !== 'sha1' || allowSha1 === true),
  )
  const bank = pcrBank === undefined ? usable[0] : usable.find((name) => name === pcrBank)
  // SHA-1 was allowed, and still says less.
  const weak = bank === 'sha1' ? 'warning' : 'pass'
  checks.add('tpm.pcr.not-quoted', bank === undefined ? 'fail' : weak, {
    expected: pcrBank ?? 'SHA-256 or better',
    received: [...banks.keys()].join(', '),
  })
  return bank
}

export function checkPcrs(
  values: ReadonlyMap<number, Uint8Array>,
  expected: Expectations<PcrName, TpmQuoteCheckCode>,
  checks: Checks,
): void {
  for (const { field, values: wanted } of expected) {
    const { name, code } = field
    const value = values.get(PCR_NAMES.indexOf(name))
    if (value === undefined && wanted !== 'any')
      checks.add('tpm.pcr.not-quoted', 'fail', { expected: name })
    else checkExpected(checks, code, wanted, value, name)
  }
}

/** In hex, by name; only those that were quoted. */
export function pcrClaims(
  values: ReadonlyMap<number, Uint8Array>,
): Readonly<Partial<Record<PcrName, string>>> {
  return Object.fromEntries(
    PCR_NAMES.flatMap((name, index) => {
      const value = values.get(index)
      return value === undefined ? [] : [[name, toHex(value)]]
    }),
  )
}
