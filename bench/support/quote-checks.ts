/**
 * The floor of a cold quote: its nine signature checks and the five keys under them, natively and in the form that costs least (see
 * `native-checks.ts`). What is signed and the signatures are cut out beforehand; keys are read from the bytes that certificates hold them in, for
 * cold means that they arrive so.
 */
import { createPublicKey, verify } from 'node:crypto'
import type { DcapEndorsements } from '@cloister/verifier/dcap/endorsements'
import { parseQeIdentity } from '@cloister/verifier/dcap/qe-identity'
import { parseQuote } from '@cloister/verifier/dcap/quote'
import { parseTcbInfo } from '@cloister/verifier/dcap/tcb-info'
import { ecdsaToDer } from '@cloister/verifier/crypto/ecdsa-der'
import { P256_SPKI_HEAD } from '@cloister/verifier/formats/jwk'
import { parsePem } from '@cloister/verifier/formats/pem'
import { parseCertificate } from '@cloister/verifier/formats/x509-certificate'
import { parseRevocationList } from '@cloister/verifier/formats/x509-crl'

interface Signed {
  readonly data: Uint8Array
  /** DER. */
  readonly signature: Uint8Array
}

interface KeyChecks {
  /** SubjectPublicKeyInfo in DER. */
  readonly spki: Uint8Array
  readonly signed: readonly Signed[]
}

/** @param endorsements - TCB signing certificate first, lists of the root and of the PCK's issuer */
export function nativeQuoteChecks(
  evidence: Uint8Array,
  endorsements: Required<DcapEndorsements>,
): () => void {
  const quote = parseQuote(evidence)
  const [pck, ca, root] = parsePem(quote.certification.data).map(({ der }) => parseCertificate(der))
  const [tcb] = endorsements.certificates.map(parseCertificate)
  const [rootList, caList] = endorsements.revocationLists.map(parseRevocationList)
  const [info] = endorsements.tcbInfos.map((json) => parseTcbInfo(json).signed)
  const [identity] = endorsements.qeIdentities.map((json) => parseQeIdentity(json).signed)
  if (!pck || !ca || !root || !tcb || !rootList || !caList || !info || !identity)
    throw new Error('a part of the chain or of the collateral is missing')
  const spki = new Uint8Array([...P256_SPKI_HEAD, ...quote.attestationKey])
  const keys: readonly KeyChecks[] = [
    { spki: root.spki, signed: [ca, tcb, rootList].map(certified) },
    { spki: ca.spki, signed: [pck, caList].map(certified) },
    { spki: tcb.spki, signed: [info, identity].map((json) => raw(json.text, json.signature)) },
    { spki: pck.spki, signed: [raw(quote.qeReportBytes, quote.qeReportSignature)] },
    { spki, signed: [raw(quote.signed, quote.signature)] },
  ]
  return () => keys.forEach(checkUnder)
}

function certified({ tbs, signature }: { tbs: Uint8Array; signature: Uint8Array }): Signed {
  return { data: tbs, signature }
}

/** @param signature - r ‖ s */
function raw(data: Uint8Array, signature: Uint8Array): Signed {
  return { data, signature: ecdsaToDer(signature) }
}

function checkUnder({ spki, signed }: KeyChecks): void {
  const base64 = Buffer.from(spki.buffer, spki.byteOffset, spki.length).toString('base64')
  const key = createPublicKey(`-----BEGIN PUBLIC KEY-----\n${base64}\n-----END PUBLIC KEY-----\n`)
  for (const { data, signature } of signed)
    if (!verify('sha256', data, key, signature)) throw new Error('a signature does not hold')
}
