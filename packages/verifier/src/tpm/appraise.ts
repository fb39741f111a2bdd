/** The appraisal of TPM Evidence: parse, verify, compare. */
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { appraiseEventLog } from '../eventlog/appraise.ts'
import { parseCel, replayCel } from '../eventlog/cel.ts'
import type { CelRecord } from '../eventlog/cel.ts'
import { equalBytes } from '../bytes/equal.ts'
import { concludeAppraisal } from '../result/appraisal.ts'
import type { Appraisal } from '../result/appraisal.ts'
import { CheckList } from '../result/check.ts'
import type { CheckSink } from '../result/check.ts'
import { expectedValues } from '../result/expectation.ts'
import { readExpectations } from '../result/fields.ts'
import { checkPolicy } from '../result/policy-values.ts'
import type { HashName } from './algorithms.ts'
import { judgeAttestationKey } from './attestation-key.ts'
import type { TpmCheckCode } from './check-codes.ts'
import { tpmClaims } from './claims.ts'
import type { TpmClaims } from './claims.ts'
import type { TpmEvidence } from './evidence.ts'
import { checkPcrs, chooseBank } from './pcrs.ts'
import { PCR_FIELDS, TPM_POLICY_KEYS } from './policy.ts'
import type { TpmExpect, TpmPolicy } from './policy.ts'
import { recogniseTpmEvidence } from './recognise.ts'
import { checkNonce, quotedPcrs, readAttestationKey, verifyTpmQuote } from './verify.ts'
import type { VerifiedTpmQuote } from './verify.ts'

export interface TpmAppraiseOptions {
  /** Required. */
  readonly expect: TpmExpect
  /** Instant at which certificates must be in date. */
  readonly now: Date
  /** Issuers of the attestation key's certificate; DER or PEM. Trusted only through `policy.trustedRoots`. */
  readonly endorsements?: { readonly certificates?: readonly Uint8Array[] }
  /** Absent means the strict default. */
  readonly policy?: TpmPolicy
}

export type TpmAppraisal = Appraisal<TpmClaims, TpmCheckCode>

type Checks = CheckSink<TpmCheckCode>

const MAX_NONCE = 64
/** Register of container events. */
const CONTAINER_PCR = 13

/**
 * Appraises quotes of one TPM. Never throws on Evidence or endorsements, whatever their bytes.
 *
 * @param given - go-tpm-tools' message, CoCo's JSON, or what was read from either
 * @throws TypeError, RangeError when `expect` or `now` is missing or malformed
 */
export async function appraiseTpm(
  given: Uint8Array | TpmEvidence,
  options: TpmAppraiseOptions,
): Promise<TpmAppraisal> {
  const { expect, now, endorsements = {}, policy = {} } = options
  if (!(now instanceof Date) || Number.isNaN(now.getTime())) throw new TypeError('now is required')
  if (typeof expect !== 'object' || expect === null) throw new TypeError('expect is required')
  const { reportData, ak: expectedAk, ...pcrs } = expect
  const expected = {
    nonce: expectedValues('reportData', reportData, { upTo: MAX_NONCE }),
    ak: expectedValues('ak', expectedAk, 32),
    pcrs: readExpectations(PCR_FIELDS, pcrs),
  }
  checkPolicy(policy, TPM_POLICY_KEYS)
  const checks = new CheckList<TpmCheckCode>()
  const tee = 'tpm'
  const conclude = () => concludeAppraisal<TpmClaims, TpmCheckCode>(checks, { tee })

  const evidence = given instanceof Uint8Array ? readEvidence(given, checks) : given
  const ak = evidence && (await readAttestationKey(evidence.ak, checks))
  if (evidence === undefined || ak === undefined) return conclude()
  const quotes = await verifyQuotes(evidence, ak, checks)
  const [first] = quotes ?? []
  const banks = quotes && quotedPcrs(quotes)
  if (quotes === undefined || first === undefined || banks === undefined) {
    // Without a verified quote nothing of it is told.
    if (quotes !== undefined) checks.add('tpm.evidence.malformed', 'fail', { where: 'quotes' })
    return conclude()
  }
  const trust = await judgeAttestationKey(
    evidence,
    ak,
    {
      expected: expected.ak,
      certificates: endorsements.certificates ?? [],
      trustedRoots: (policy.trustedRoots ?? []).map(plainFingerprint),
      now,
    },
    checks,
  )
  for (const quote of quotes) checkNonce(quote, expected.nonce, evidence.nonceSize, checks)
  checkClock(quotes, checks)
  const bank = chooseBank(banks, policy, checks)
  const values = bank && banks.get(bank)
  if (bank === undefined || values === undefined) return conclude()
  checkPcrs(values, expected.pcrs, checks)
  const log = evidence.eventLog
  const boot = await appraiseEventLog(
    { log, bank, registers: values, numbering: 'pcr', policy },
    checks,
  )
  const container = await readContainer(evidence.canonicalLog, bank, values, checks)
  checks.add('tpm.binding.unproven', 'not-checked')
  const { attest } = first
  const { fingerprint } = ak
  const instance = trust?.instance
  return concludeAppraisal(checks, {
    tee,
    anchor: trust?.anchor,
    claims: tpmClaims({ ak: fingerprint, attest, bank, pcrs: values, boot, container, instance }),
  })
}

function readEvidence(bytes: Uint8Array, checks: Checks): TpmEvidence | undefined {
  try {
    const evidence = recogniseTpmEvidence(bytes)
    checks.add('tpm.evidence.malformed', 'pass')
    return evidence
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    checks.add('tpm.evidence.malformed', 'fail', { received: error.message })
    return undefined
  }
}

/** Undefined unless there is one and every one of them holds. */
async function verifyQuotes(
  { quotes }: TpmEvidence,
  ak: Parameters<typeof verifyTpmQuote>[1],
  checks: Checks,
): Promise<readonly VerifiedTpmQuote[] | undefined> {
  const verified: VerifiedTpmQuote[] = []
  for (const quote of quotes) {
    const result = await verifyTpmQuote(quote, ak, checks)
    if (result !== undefined) verified.push(result)
  }
  if (quotes.length === 0)
    checks.add('tpm.evidence.malformed', 'fail', { expected: 'at least one quote' })
  return verified.length === quotes.length && quotes.length > 0 ? verified : undefined
}

function checkClock(quotes: readonly VerifiedTpmQuote[], checks: Checks): void {
  const safe = quotes.every(({ attest }) => attest.clockSafe)
  checks.add('tpm.clock.unsafe', safe ? 'pass' : 'warning')
}

async function readContainer(
  log: Uint8Array | undefined,
  bank: HashName,
  registers: ReadonlyMap<number, Uint8Array>,
  checks: Checks,
): Promise<readonly CelRecord[] | undefined> {
  if (log === undefined) {
    checks.add('event-log.container', 'not-checked')
    return undefined
  }
  try {
    const records = parseCel(log)
    const replayed = await replayCel(records, bank)
    const value = replayed?.get(CONTAINER_PCR)
    const quoted = registers.get(CONTAINER_PCR)
    const others = records.some(({ kind, index }) => kind !== 'pcr' || index !== CONTAINER_PCR)
    const holds =
      !others && value !== undefined && quoted !== undefined && equalBytes(value, quoted)
    checks.require('event-log.container', holds, {
      expected: quoted && toHex(quoted),
      received: value && toHex(value),
      where: `register ${CONTAINER_PCR}`,
    })
    return holds ? records : undefined
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    checks.add('event-log.container', 'fail', { received: error.message })
    return undefined
  }
}

function plainFingerprint(text: string): string {
  const digits = text.replaceAll(':', '').toLowerCase()
  if (!/^[0-9a-f]{64}$/.test(digits))
    throw new RangeError('policy.trustedRoots holds SHA-256 fingerprints in hex')
  return digits
}
