/**
 * Revocation of SNP intermediates (AMD 57230): lists issued by the ARK. Leaves all have serial number 0 and are superseded by TCB
 * versions instead, so only the ASK or ASVK is looked up.
 */
import { runtimeCrypto } from '#crypto'
import { equalBytes } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { toDer } from '../formats/pem.ts'
import { parseRevocationList } from '../formats/x509-crl.ts'
import type { RevocationList } from '../formats/x509-crl.ts'
import { commonName } from '../formats/x509-name.ts'
import { isSignedBy } from '../formats/x509-verify.ts'
import type { CheckSink } from '../result/check.ts'
import type { EndorsementCache } from '../result/endorsement-cache.ts'
import type { SnpChain } from './chain.ts'
import type { SnpCheckCode } from './check-codes.ts'

type Checks = CheckSink<SnpCheckCode>

export interface RevocationRequest {
  /** DER or PEM. */
  readonly lists: readonly Uint8Array[]
  readonly now: Date
  /** Whether a list that was not given leaves the Evidence undecided rather than `not-checked`. */
  readonly required: boolean
  readonly cache?: EndorsementCache | undefined
}

export async function checkRevocation(
  chain: SnpChain,
  { lists, now, required, cache }: RevocationRequest,
  checks: Checks,
): Promise<void> {
  const where = 'revocation list'
  if (lists.length === 0) {
    checks.add('snp.revocation.missing', required ? 'undecided' : 'not-checked', { where })
    return
  }
  const parsed = parseLists(lists, checks)
  if (parsed === undefined) return
  const ours = parsed.filter(({ issuer }) => equalBytes(issuer.raw, chain.ark.subject.raw))
  const expected = commonName(chain.ark.subject)
  if (!checks.require('snp.revocation.foreign', ours.length > 0, { expected, where })) return
  for (const list of ours) {
    const signed = await isSignedOnce(list, chain, now, cache)
    const details = { where: 'revocation list' }
    if (!checks.require('snp.revocation.signature-invalid', signed, details)) return
  }
  checkDates(ours, now, checks)
  checkSerial(ours, chain, checks)
}

function parseLists(lists: readonly Uint8Array[], checks: Checks): RevocationList[] | undefined {
  try {
    const parsed = toDer(lists).map(parseRevocationList)
    checks.add('snp.revocation.malformed', 'pass')
    return parsed
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    checks.add('snp.revocation.malformed', 'fail', { received: error.message })
    return undefined
  }
}

/** A good signature is remembered by the content of list and root; dates and serial numbers are judged anew each time. */
async function isSignedOnce(
  list: RevocationList,
  { ark, root }: SnpChain,
  now: Date,
  cache: EndorsementCache | undefined,
): Promise<boolean> {
  const digest = cache && toHex(await runtimeCrypto.digest('SHA-256', list.raw))
  const key = `snp-crl:${root.fingerprint}:${digest}`
  if (cache?.get(key, now) === true) return true
  const { kind } = list.signatureAlgorithm
  const strong =
    (kind === 'rsa-pss' || kind === 'ecdsa') && list.signatureAlgorithm.hash === 'sha384'
  const signed = strong && (await isSignedBy(list, ark))
  if (signed) cache?.set(key, true, now)
  return signed
}

/** One list in date is enough; older ones beside it still count for what they revoke. */
function checkDates(lists: readonly RevocationList[], now: Date, checks: Checks): void {
  const latest = lists.reduce((a, b) => (a.nextUpdate >= b.nextUpdate ? a : b))
  const { thisUpdate, nextUpdate } = latest
  checks.require('snp.revocation.not-yet-valid', thisUpdate <= now, {
    expected: `from ${thisUpdate.toISOString()}`,
    received: now.toISOString(),
  })
  checks.add('snp.revocation.expired', now < nextUpdate ? 'pass' : 'undecided', {
    expected: `before ${nextUpdate.toISOString()}`,
    received: now.toISOString(),
  })
}

function checkSerial(
  lists: readonly RevocationList[],
  { intermediate }: SnpChain,
  checks: Checks,
): void {
  const { serial } = intermediate
  const revoked = lists.some((list) => list.revoked.has(serial))
  checks.require('snp.revocation.revoked', !revoked, {
    received: `${commonName(intermediate.subject)}, serial number ${toHex(serial)}`,
  })
}
