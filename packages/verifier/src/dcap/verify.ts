/** Who vouches for a quote (DCAP QVL): Quoting Enclave, PCK chain to Intel's root, dates, revocation, TCB by collateral. */
import { runtimeCrypto } from '#crypto'
import { concatBytes } from '../bytes/concat.ts'
import { equalBytes } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import { isZero } from '../bytes/reader.ts'
import type { PublicKey } from '../crypto/crypto.ts'
import type { CheckSink } from '../result/check.ts'
import type { EndorsementCache } from '../result/endorsement-cache.ts'
import type { IntelRoot } from './anchors.ts'
import { appraiseEarly } from './appraise-early.ts'
import { appraiseTcb } from './appraise-tcb.ts'
import type { DcapTcb, TcbCheckCode } from './appraise-tcb.ts'
import {
  endorseCollateral,
  isPrepared,
  parseDcapEndorsements,
  prepareDcapEndorsements,
} from './endorsements.ts'
import type {
  DcapEndorsements,
  ParsedDcapEndorsements,
  PreparedDcapEndorsements,
} from './endorsements.ts'
import { checkCertificateDates, checkRevocation } from './freshness.ts'
import type { IssuerLink } from './freshness.ts'
import type { PckIdentity } from './pck.ts'
import type { DcapPolicy } from './policy.ts'
import { ECDSA_P256, parseQuote } from './quote.ts'
import type { Quote, QuoteBody } from './quote.ts'
import { checkLists, checkQuote, isQuoteSignedBy } from './signatures.ts'
import type { QuoteSignatures } from './signatures.ts'
import { judgePckChain } from './verify-pck.ts'
import type { PckChain } from './verify-pck.ts'

type Checks = CheckSink<TcbCheckCode>

const INTEL_VENDOR_ID = fromHex('939a7233f79c4ca9940a0db3957f0607')

export interface DcapVerifyOptions {
  readonly endorsements: DcapEndorsements | PreparedDcapEndorsements
  readonly now: Date
  readonly root: IntelRoot
  readonly policy: DcapPolicy
  readonly cache?: EndorsementCache | undefined
  /** Of the next TCB recovery, to compare with. */
  readonly earlyEndorsements?: DcapEndorsements | PreparedDcapEndorsements | undefined
}

export interface VerifiedQuote {
  readonly pck: PckIdentity
  /** Absent when the collateral gave no status; the reason is among the checks then. */
  readonly tcb: DcapTcb | undefined
}

/** The quote's fields, for the TEE that the caller asked for. */
export function readQuote(
  bytes: Uint8Array,
  kind: QuoteBody['kind'],
  checks: Checks,
): Quote | undefined {
  let quote: Quote
  try {
    quote = parseQuote(bytes)
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    const code =
      error.field === 'version' ? 'dcap.quote.version-unsupported' : 'dcap.quote.malformed'
    checks.add(code, 'fail', { received: error.message })
    return undefined
  }
  checks.add('dcap.quote.malformed', 'pass')
  const known = checks.require(
    'dcap.quote.key-type-unsupported',
    quote.attestationKeyType === ECDSA_P256,
    { expected: `${ECDSA_P256}`, received: `${quote.attestationKeyType}`, where: 'header 2..4' },
  )
  const intel = checks.require(
    'dcap.quote.vendor-unknown',
    equalBytes(quote.vendorId, INTEL_VENDOR_ID),
    { expected: toHex(INTEL_VENDOR_ID), received: toHex(quote.vendorId), where: 'header 12..28' },
  )
  const right = checks.require('dcap.quote.tee-mismatch', quote.body.kind === kind, {
    expected: kind,
    received: quote.body.kind,
  })
  return known && intel && right ? quote : undefined
}

/** Undefined when a signature does not hold or its chain was not found: then no field of the quote may be believed. */
export async function verifyQuote(
  quote: Quote,
  options: DcapVerifyOptions,
  checks: Checks,
): Promise<VerifiedQuote | undefined> {
  const { now, root, policy } = options
  // All is read first, then every signature is checked, then judged: `signatures.ts` says why.
  const parsed = isPrepared(options.endorsements, root)
    ? options.endorsements
    : parseDcapEndorsements(options.endorsements, root)
  const signatures = await checkSignatures(quote, parsed, options)
  const early = await preparedEarly(options)
  const { endorsements, links, byKey } = signatures
  for (const problem of endorsements.malformed)
    checks.add('dcap.endorsement.malformed', 'fail', { received: problem })
  const vouched = judgeKey(quote, signatures, options, checks)
  if (vouched === undefined) return undefined
  const { pck, holds } = vouched
  checks.require('dcap.quote.signature-invalid', byKey, {
    where: `quote 0x0..0x${quote.signed.length.toString(16)}`,
  })
  const signed = holds && byKey
  checkCertificateDates(pck.chain, now, checks)
  const request = { quote, pck: pck.identity, endorsements, policy, now }
  const tcb = appraiseTcb(request, checks)
  appraiseEarly(request, early, checks)
  for (const [signer] of endorsements.signingChains)
    if (signer) checkCertificateDates([signer], now, checks)
  const allowMissing = policy.allowMissingRevocationLists === true
  checkRevocation(links, { endorsements, now, allowMissing }, checks)
  checkPlatform(pck.identity, policy, checks)
  return signed ? { pck: pck.identity, tcb } : undefined
}

async function preparedEarly({
  earlyEndorsements: early,
  root,
}: DcapVerifyOptions): Promise<PreparedDcapEndorsements | undefined> {
  if (early === undefined || isPrepared(early, root)) return early
  return prepareDcapEndorsements(early, root)
}

interface VouchedKey {
  readonly pck: PckChain
  readonly key: PublicKey
}

interface Signatures {
  readonly endorsements: PreparedDcapEndorsements
  readonly links: readonly IssuerLink[]
  /** Whether the attestation key signed the quote. */
  readonly byKey: boolean
  readonly cacheKey: string | undefined
  /** What vouches for the key: checked now, or known from the cache. */
  readonly key: { readonly checked: QuoteSignatures } | { readonly known: VouchedKey }
}

/**
 * A Quoting Enclave makes its key once and uses it for every quote, so the signature of the PCK over it is remembered by the content of all that it depends
 * on.
 */
async function checkSignatures(
  quote: Quote,
  parsed: ParsedDcapEndorsements | PreparedDcapEndorsements,
  { cache, now, root }: DcapVerifyOptions,
): Promise<Signatures> {
  const cacheKey = cache && (await vouchedDigest(quote, root))
  const known =
    cacheKey === undefined ? undefined : (cache?.get(cacheKey, now) as VouchedKey | undefined)
  if (known === undefined) {
    const checked = await checkQuote(quote, parsed, root)
    const { endorsements, links, byKey } = checked
    return { endorsements, links, byKey, cacheKey, key: { checked } }
  }
  const endorsements = isPrepared(parsed, root) ? parsed : await endorseCollateral(parsed, root)
  const links = await checkLists(known.pck.chain, endorsements)
  const byKey = await isQuoteSignedBy(quote, known.key)
  return { endorsements, links, byKey, cacheKey, key: { known } }
}

/** What vouches for the key that signed the quote. */
function judgeKey(
  quote: Quote,
  { key: by, cacheKey }: Signatures,
  { root, now, cache }: DcapVerifyOptions,
  checks: Checks,
): { readonly pck: PckChain; readonly holds: boolean } | undefined {
  const { reportData } = quote.qeReport
  const received = toHex(reportData)
  if ('known' in by) {
    checks.add('dcap.endorsement.untrusted-root', 'pass', { where: 'PCK chain, verified before' })
    checks.add('dcap.qe.signature-invalid', 'pass')
    const expected = toHex(reportData.subarray(0, 32))
    checks.add('dcap.qe.key-mismatch', 'pass', { expected, received })
    return { pck: by.known.pck, holds: true }
  }
  const { key, byPck, bound } = by.checked
  const pck = judgePckChain(quote, by.checked, root, checks)
  if (pck === undefined) return undefined
  checks.require('dcap.qe.signature-invalid', byPck)
  const binds = equalBytes(bound, reportData.subarray(0, 32)) && isZero(reportData.subarray(32))
  checks.require('dcap.qe.key-mismatch', binds, { expected: toHex(bound), received })
  const holds = byPck && binds
  if (holds && key !== undefined && cacheKey !== undefined) cache?.set(cacheKey, { pck, key }, now)
  return { pck, holds }
}

/** Over everything that {@link judgeKey} depends on; the lengths tell where each part of unfixed length ends. */
async function vouchedDigest(quote: Quote, { fingerprint }: IntelRoot): Promise<string> {
  const { certification, qeAuthData } = quote
  const whole = concatBytes(
    quote.attestationKey,
    quote.qeReportBytes,
    quote.qeReportSignature,
    qeAuthData,
    certification.data,
  )
  const digest = toHex(await runtimeCrypto.digest('SHA-256', whole))
  return `dcap-qe:${fingerprint}:${certification.type}:${qeAuthData.length}:${digest}`
}

function checkPlatform(pck: PckIdentity, { allowedPlatforms }: DcapPolicy, checks: Checks): void {
  const { ppid, platformInstanceId, fmspc } = pck
  const ids = [toHex(ppid), platformInstanceId && toHex(platformInstanceId), fmspc]
  const received = ids.filter((id) => id !== undefined).join(', ')
  if (allowedPlatforms === undefined) {
    checks.add('dcap.platform.not-allowed', 'not-checked', { received })
    return
  }
  const listed = allowedPlatforms.some((id) => ids.includes(id.toLowerCase()))
  const expected = `one of ${allowedPlatforms.length} platforms`
  checks.require('dcap.platform.not-allowed', listed, { expected, received })
}
