/** Who vouches for PCR values: a quote over them, signed by an attestation key. Whether that key is worth anything: see `attestation-key.ts`. */
import { runtimeCrypto } from '#crypto'
import { concatBytes } from '../bytes/concat.ts'
import { equalBytes } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { DerReader, readSequence } from '../formats/der-reader.ts'
import { readKeyKind } from '../formats/x509-algorithm.ts'
import type { KeyKind } from '../formats/x509-algorithm.ts'
import type { CheckSink } from '../result/check.ts'
import { hashById, hashDigest } from './algorithms.ts'
import type { HashName } from './algorithms.ts'
import { parseTpmAttest } from './attest.ts'
import type { TpmAttest } from './attest.ts'
import type { TpmQuoteCheckCode } from './check-codes.ts'
import type { PcrBank, TpmQuote } from './evidence.ts'
import { isSignedByAk } from './signature.ts'

type Checks = CheckSink<TpmQuoteCheckCode>

const FORMAT = 'attestation key'
const MIN_RSA_BITS = 2048

export interface AttestationKey {
  readonly spki: Uint8Array
  readonly keyKind: KeyKind
  /** SHA-256 of the SPKI. */
  readonly fingerprint: Uint8Array
}

export interface VerifiedTpmQuote {
  readonly attest: TpmAttest
  /** The PCRs that the quote covers, and no others. */
  readonly banks: readonly PcrBank[]
}

/** The key, or undefined with the reason among the checks. */
export async function readAttestationKey(
  spki: Uint8Array,
  checks: Checks,
): Promise<AttestationKey | undefined> {
  const keyKind = usableKind(spki)
  checks.require('tpm.ak.key-unsupported', keyKind !== undefined)
  if (keyKind === undefined) return undefined
  return { spki, keyKind, fingerprint: await runtimeCrypto.digest('SHA-256', spki) }
}

/** The quote's contents, or undefined with the reason among the checks. */
export async function verifyTpmQuote(
  { message, signature, banks }: TpmQuote,
  ak: AttestationKey,
  checks: Checks,
): Promise<VerifiedTpmQuote | undefined> {
  const attest = readAttest(message, checks)
  if (attest === undefined) return undefined
  const signed = await isSignedByAk(message, signature, ak)
  checks.require('tpm.quote.signature-invalid', signed, { where: 'quote' })
  const covered = coveredBanks(attest, banks)
  // The digest is made with the hash of the signature, whatever the banks.
  const values = covered?.flatMap((bank) => [...bank.values.values()])
  const digest = values && (await hashDigest(signature.hash, concatBytes(...values)))
  const holds = digest !== undefined && equalBytes(digest, attest.pcrDigest)
  checks.require('tpm.quote.digest-mismatch', holds, {
    expected: toHex(attest.pcrDigest),
    received: digest === undefined ? 'a quoted PCR has no value' : toHex(digest),
    where: 'quote pcrDigest',
  })
  return signed && holds && covered !== undefined ? { attest, banks: covered } : undefined
}

/** @param where - which quote */
export function checkNonce(
  { attest }: VerifiedTpmQuote,
  expected: readonly Uint8Array[] | 'any',
  size: number | undefined,
  checks: Checks,
): void {
  const { extraData } = attest
  const received = toHex(extraData)
  const where = 'quote extraData'
  if (expected === 'any') {
    checks.add('tpm.nonce.mismatch', 'not-checked', { received, where })
    return
  }
  if (size !== undefined)
    checks.require('tpm.nonce.size', extraData.length === size, {
      expected: `${size} bytes`,
      received: `${extraData.length} bytes`,
      where,
    })
  let found = false
  for (const value of expected) found = equalBytes(value, extraData) || found
  checks.require('tpm.nonce.mismatch', found, {
    expected: expected.map(toHex).join(' or '),
    received,
    where,
  })
}

/** All quoted PCRs, by bank; undefined when two quotes give different values for one. */
export function quotedPcrs(
  quotes: readonly VerifiedTpmQuote[],
): ReadonlyMap<HashName, ReadonlyMap<number, Uint8Array>> | undefined {
  const merged = new Map<HashName, Map<number, Uint8Array>>()
  for (const { hash, values } of quotes.flatMap(({ banks }) => banks)) {
    const bank = merged.get(hash) ?? new Map<number, Uint8Array>()
    for (const [index, value] of values) {
      const earlier = bank.get(index)
      if (earlier !== undefined && !equalBytes(earlier, value)) return undefined
      bank.set(index, value)
    }
    merged.set(hash, bank)
  }
  return merged
}

function readAttest(message: Uint8Array, checks: Checks): TpmAttest | undefined {
  try {
    const attest = parseTpmAttest(message)
    checks.add('tpm.quote.malformed', 'pass')
    checks.add('tpm.quote.not-generated', 'pass')
    checks.add('tpm.quote.type-unsupported', 'pass')
    return attest
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    const { field } = error
    const code =
      field === 'magic'
        ? 'tpm.quote.not-generated'
        : field === 'type'
          ? 'tpm.quote.type-unsupported'
          : 'tpm.quote.malformed'
    checks.add(code, 'fail', { received: error.message, where: 'quote' })
    return undefined
  }
}

/** In the order in which they were digested; undefined when a value is missing or of a bank that nobody knows. */
function coveredBanks(
  { selections }: TpmAttest,
  banks: readonly PcrBank[],
): readonly PcrBank[] | undefined {
  const covered: PcrBank[] = []
  for (const { hash: id, indexes } of selections) {
    const hash = hashById(id)?.name
    const given = banks.find((bank) => bank.hash === hash)
    if (hash === undefined || given === undefined) return undefined
    const values = new Map<number, Uint8Array>()
    for (const index of indexes) {
      const value = given.values.get(index)
      if (value === undefined) return undefined
      values.set(index, value)
    }
    covered.push({ hash, values })
  }
  return covered
}

function usableKind(spki: Uint8Array): KeyKind | undefined {
  try {
    const kind = readKeyKind(new DerReader(FORMAT, spki))
    if (kind === 'P-256' || kind === 'P-384') return kind
    return kind === 'RSA' && rsaBits(spki) >= MIN_RSA_BITS ? kind : undefined
  } catch (error) {
    if (error instanceof FormatError) return undefined
    throw error
  }
}

function rsaBits(spki: Uint8Array): number {
  const outer = readSequence(FORMAT, spki)
  outer.sequence('algorithm')
  const modulus = readSequence(FORMAT, outer.bitStringBytes('key')).integer('modulus')
  const [first = 0] = modulus
  // A leading zero byte only keeps the number positive.
  return first === 0 ? (modulus.length - 1) * 8 : modulus.length * 8
}
