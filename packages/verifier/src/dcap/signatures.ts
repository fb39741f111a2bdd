/**
 * The signatures of a quote and of its collateral, checked one right after the other before anything is judged. Each check empties the processor's
 * nearest caches and fills them with tables of the curve: checks that stand among other work cost 5 to 7 µs more each, and so does that work
 * (`bench/tdx-appraise.ts`). What holds is remembered on the parsed values. Nothing is believed for it: who may sign what, and whether a chain ends at
 * the root, is judged afterwards, and whatever was not found here is checked there.
 */
import { runtimeCrypto } from '#crypto'
import { concatBytes } from '../bytes/concat.ts'
import { equalBytes } from '../bytes/equal.ts'
import type { PublicKey } from '../crypto/crypto.ts'
import { P256_SPKI_HEAD } from '../formats/jwk.ts'
import type { Certificate } from '../formats/x509-certificate.ts'
import type { Name } from '../formats/x509-name.ts'
import { isSignedBy, keyOf } from '../formats/x509-verify.ts'
import type { Signed } from '../formats/x509-verify.ts'
import type { IntelRoot } from './anchors.ts'
import { tcbSigners } from './endorsements.ts'
import type { ParsedDcapEndorsements } from './endorsements.ts'
import type { Quote } from './quote.ts'
import { isStatementSignedBy } from './signed-json.ts'
import type { PckSource } from './verify-pck.ts'

/** Of each kind; real collateral has one or two. The rest is checked when it is judged. */
const MAX_EACH = 4

export interface QuoteSignatures {
  /** The attestation key; undefined when it is no point of the curve. */
  readonly key: PublicKey | undefined
  readonly byKey: boolean
  /** Whether the PCK signed the Quoting Enclave's report. */
  readonly byPck: boolean
}

/** Those of a quote whose key nobody has vouched for before. */
export async function checkQuote(quote: Quote, { leaf }: PckSource): Promise<QuoteSignatures> {
  const spki = concatBytes(P256_SPKI_HEAD, quote.attestationKey)
  const key = await runtimeCrypto.importPublicKey(spki, 'ecdsa-p256-sha256')
  const pckKey = leaf && (await keyOf(leaf, 'ecdsa-p256-sha256'))
  const byPck =
    pckKey !== undefined &&
    (await runtimeCrypto.verify(pckKey, quote.qeReportBytes, quote.qeReportSignature))
  if (key === undefined) return { key, byKey: false, byPck }
  return { ...(await checkByKey(quote, key)), byPck }
}

/** That of a quote by a key that the PCK has signed. */
export async function checkByKey(quote: Quote, key: PublicKey): Promise<QuoteSignatures> {
  const byKey = await runtimeCrypto.verify(key, quote.signed, quote.signature)
  return { key, byKey, byPck: true }
}

/** Those under the quote and the collateral, as far as names tell who signed. */
export async function checkCollateral(
  { own, leaf }: PckSource,
  collateral: ParsedDcapEndorsements,
  root: IntelRoot,
): Promise<void> {
  const issuerOf = ({ issuer }: Pick<Certificate, 'issuer'>) =>
    own.find((each) => isNamed(each, issuer)) ??
    collateral.certificates.find((each) => isNamed(each, issuer))
  const check = (signed: (Signed & Pick<Certificate, 'issuer'>) | undefined) => {
    const issuer = signed && issuerOf(signed)
    return signed && issuer && isSignedBy(signed, issuer)
  }
  const ca = leaf && issuerOf(leaf)
  const [tcbSigner] = tcbSigners(collateral.certificates, root)
  await check(leaf)
  await check(ca)
  await check(tcbSigner)
  for (const list of collateral.revocationLists.slice(0, MAX_EACH)) await check(list)
  if (tcbSigner === undefined) return
  for (const { signed } of collateral.tcbInfos.slice(0, MAX_EACH))
    await isStatementSignedBy(signed, tcbSigner)
  for (const { signed } of collateral.qeIdentities.slice(0, MAX_EACH))
    await isStatementSignedBy(signed, tcbSigner)
}

function isNamed({ subject }: Certificate, issuer: Name): boolean {
  return equalBytes(subject.raw, issuer.raw)
}
