/**
 * The signatures that the names in a quote and its collateral lead to, checked in one go: first every key is read, then every signature is checked. Either costs
 * up to twice as much with other work around it, for that finds the processor's nearest caches emptied and leaves them so (`bench/tdx-appraise.ts`). What holds
 * is remembered on the parsed values, and nothing is believed for it: chains are built and judged afterwards, and what they need besides is checked then.
 */
import { equalBytes } from '../bytes/equal.ts'
import type { Certificate } from '../formats/x509-certificate.ts'
import type { RevocationList } from '../formats/x509-crl.ts'
import { isSignedBy, keyOf } from '../formats/x509-verify.ts'
import type { Signed } from '../formats/x509-verify.ts'
import { MAX_INTERMEDIATES, isEcdsaSha256 } from './chain.ts'
import { isStatementSignedBy } from './signed-json.ts'
import type { SignedJson } from './signed-json.ts'

export interface Ahead {
  /** The PCK certificate, if there is one; only its signature and those of its issuers are looked at. */
  readonly leaf: Certificate | undefined
  /** Who may have signed the statements; the first is tried. */
  readonly signers: readonly Certificate[]
  readonly statements: readonly SignedJson[]
  /** Where issuers are looked for. */
  readonly certificates: readonly Certificate[]
  readonly revocationLists: readonly RevocationList[]
}

interface Link {
  readonly signed: Signed
  readonly issuer: Certificate
}

const SCHEME = 'ecdsa-p256-sha256'

export async function checkAhead({
  leaf,
  signers: [signer],
  statements,
  certificates,
  revocationLists,
}: Ahead): Promise<void> {
  const links: Link[] = []
  for (const start of [leaf, signer]) addChain(start, certificates, links)
  for (const issuer of new Set(links.map((link) => link.issuer)))
    for (const list of revocationLists)
      if (equalBytes(list.issuer.raw, issuer.subject.raw)) links.push({ signed: list, issuer })
  for (const { issuer } of links) await keyOf(issuer, SCHEME)
  if (signer) await keyOf(signer, SCHEME)
  for (const { signed, issuer } of links)
    if (isEcdsaSha256(signed)) await isSignedBy(signed, issuer)
  if (signer) for (const statement of statements) await isStatementSignedBy(statement, signer)
}

/** From a leaf to where its names end, through the first issuer of each name. */
function addChain(
  leaf: Certificate | undefined,
  certificates: readonly Certificate[],
  links: Link[],
): void {
  let signed = leaf
  for (let depth = 0; signed !== undefined && depth <= MAX_INTERMEDIATES; depth++) {
    const { raw } = signed.issuer
    const issuer = certificates.find(({ subject }) => equalBytes(subject.raw, raw))
    if (issuer === undefined || issuer === signed) return
    if (!links.some((link) => link.signed === signed)) links.push({ signed, issuer })
    signed = equalBytes(issuer.issuer.raw, issuer.subject.raw) ? undefined : issuer
  }
}
