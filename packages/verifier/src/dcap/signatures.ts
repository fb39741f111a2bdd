/**
 * The signatures of a quote and of its collateral, checked one right after the other before anything is judged. Each check empties the processor's
 * nearest caches and fills them with tables of the curve: checks that stand among other work cost 5 to 7 µs more each, and so does that work
 * (`bench/tdx-appraise.ts`). What was found is kept, on the parsed values and as chains; nothing is believed for it: names, dates and revocation are
 * judged afterwards, and without waiting.
 */
import { runtimeCrypto } from '#crypto'
import { concatBytes } from '../bytes/concat.ts'
import type { PublicKey } from '../crypto/crypto.ts'
import type { Eventual } from '../crypto/eventual.ts'
import { P256_SPKI_HEAD } from '../formats/jwk.ts'
import type { Certificate } from '../formats/x509-certificate.ts'
import { isSignedBy, keyOf } from '../formats/x509-verify.ts'
import type { IntelRoot } from './anchors.ts'
import { chainToRoot, isEcdsaSha256 } from './chain.ts'
import type { ChainResult } from './chain.ts'
import { distinct, endorseCollateral, isPrepared, tcbSigners } from './endorsements.ts'
import type { ParsedDcapEndorsements, PreparedDcapEndorsements } from './endorsements.ts'
import { issuerLinks, listsOf } from './freshness.ts'
import type { IssuerLink } from './freshness.ts'
import type { Quote } from './quote.ts'
import { checkAhead } from './signatures-ahead.ts'
import type { Ahead } from './signatures-ahead.ts'
import { readPckSource } from './verify-pck.ts'
import type { PckSource } from './verify-pck.ts'

/** What a quote is signed with when nobody has vouched for its key before. */
export interface QuoteSignatures {
  readonly endorsements: PreparedDcapEndorsements
  readonly source: PckSource
  /** From the PCK certificate to the root; undefined without such a certificate. */
  readonly pckChain: ChainResult | undefined
  /** Everybody who issued a certificate of this chain and of those of the collateral. */
  readonly links: readonly IssuerLink[]
  /** The attestation key; undefined when it is no point of the curve. */
  readonly key: PublicKey | undefined
  /** Whether the key signed the quote. */
  readonly byKey: boolean
  readonly pckKey: PublicKey | undefined
  /** Whether the PCK signed the Quoting Enclave's report. */
  readonly byPck: boolean
  /** SHA-256 of attestation key and authentication data: what that report must hold. */
  readonly bound: Uint8Array
}

/** All of a quote. */
export async function checkQuote(
  quote: Quote,
  parsed: ParsedDcapEndorsements | PreparedDcapEndorsements,
  root: IntelRoot,
): Promise<QuoteSignatures> {
  const { qeReportBytes, qeReportSignature, attestationKey, qeAuthData } = quote
  const source = readPckSource(quote, parsed.certificates, root)
  const { own, leaf } = source
  const candidates = distinct([...own, ...parsed.certificates])
  const pckKey = leaf && (await keyOf(leaf, 'ecdsa-p256-sha256'))
  const spki = concatBytes(P256_SPKI_HEAD, attestationKey)
  const key = await runtimeCrypto.importPublicKey(spki, 'ecdsa-p256-sha256')
  const { revocationLists } = parsed
  const unchecked = isPrepared(parsed, root) ? ALL_CHECKED : statementsOf(parsed, root)
  await checkAhead({ leaf, certificates: candidates, revocationLists, ...unchecked })
  const byPck =
    pckKey !== undefined && (await runtimeCrypto.verify(pckKey, qeReportBytes, qeReportSignature))
  const byKey = key !== undefined && (await isQuoteSignedBy(quote, key))
  const bound = await runtimeCrypto.digest('SHA-256', concatBytes(attestationKey, qeAuthData))
  const endorsements = isPrepared(parsed, root) ? parsed : await endorseCollateral(parsed, root)
  const pckChain = leaf && (await chainToRoot(leaf, candidates, root))
  const links = await checkLists(pckChain?.found === true ? pckChain.chain : [], endorsements)
  return { endorsements, source, pckChain, links, key, byKey, pckKey, byPck, bound }
}

const ALL_CHECKED = { signers: [], statements: [] }

function statementsOf(
  { certificates, tcbInfos, qeIdentities }: ParsedDcapEndorsements,
  root: IntelRoot,
): Pick<Ahead, 'signers' | 'statements'> {
  const statements = [...tcbInfos, ...qeIdentities].map(({ signed }) => signed)
  return { signers: tcbSigners(certificates, root), statements }
}

export function isQuoteSignedBy({ signed, signature }: Quote, key: PublicKey): Eventual<boolean> {
  return runtimeCrypto.verify(key, signed, signature)
}

/** Those of the revocation lists of everybody who issued a certificate of these chains. @returns who that is */
export async function checkLists(
  pckChain: readonly Certificate[],
  { signingChains, revocationLists }: PreparedDcapEndorsements,
): Promise<readonly IssuerLink[]> {
  const links = issuerLinks([pckChain, ...signingChains])
  for (const { issuer } of links)
    for (const list of listsOf(issuer, revocationLists))
      if (isEcdsaSha256(list)) await isSignedBy(list, issuer)
  return links
}
