/** Dates and revocation of Intel's endorsements at one instant. */
import { equalBytes } from '../bytes/equal.ts'
import { toHex } from '../bytes/hex.ts'
import type { Certificate } from '../formats/x509-certificate.ts'
import type { RevocationList } from '../formats/x509-crl.ts'
import { commonName } from '../formats/x509-name.ts'
import { wasSignedBy } from '../formats/x509-verify.ts'
import type { CheckSink } from '../result/check.ts'
import { isEcdsaSha256 } from './chain.ts'
import type { DcapCheckCode } from './check-codes.ts'
import type { PreparedDcapEndorsements } from './endorsements.ts'

type Checks = CheckSink<DcapCheckCode>

export interface Window {
  readonly from: Date
  readonly until: Date
}

type Subject = 'endorsement' | 'revocation' | 'tcb-info' | 'qe-identity'

/** Before its issue a statement is refused; after its end the Evidence is undecided. */
export function checkWindow(
  subject: Subject,
  { from, until }: Window,
  { now, where }: { readonly now: Date; readonly where: string | undefined },
  checks: Checks,
): void {
  // Times are written out only where they say why: this is on the path of every appraisal.
  if (from.getTime() <= now.getTime())
    checks.add(`dcap.${subject}.not-yet-valid`, 'pass', { where })
  else
    checks.add(`dcap.${subject}.not-yet-valid`, 'fail', {
      expected: `from ${from.toISOString()}`,
      received: now.toISOString(),
      where,
    })
  if (now.getTime() <= until.getTime()) checks.add(`dcap.${subject}.expired`, 'pass', { where })
  else
    checks.add(`dcap.${subject}.expired`, 'undecided', {
      expected: `until ${until.toISOString()}`,
      received: now.toISOString(),
      where,
    })
}

export function checkCertificateDates(
  chain: readonly Certificate[],
  now: Date,
  checks: Checks,
): void {
  for (const { notBefore, notAfter, subject } of chain) {
    const where = commonName(subject)
    checkWindow('endorsement', { from: notBefore, until: notAfter }, { now, where }, checks)
  }
}

export interface RevocationRequest {
  readonly endorsements: PreparedDcapEndorsements
  readonly now: Date
  readonly allowMissing: boolean
}

/** Each certificate is looked up in the list of its issuer; the signatures of the lists were checked before (`signatures.ts`). */
export function checkRevocation(
  links: readonly IssuerLink[],
  request: RevocationRequest,
  checks: Checks,
): void {
  for (const { issuer, issued } of links) checkIssuer(issuer, issued, request, checks)
}

/** A certificate with those that it issued. */
export interface IssuerLink {
  readonly issuer: Certificate
  readonly issued: readonly Certificate[]
}

/** Each issuer of the chains once. @param chains - leaf first, root last */
export function issuerLinks(chains: readonly (readonly Certificate[])[]): readonly IssuerLink[] {
  const links: { readonly issuer: Certificate; readonly issued: Certificate[] }[] = []
  for (const chain of chains)
    for (let at = 0; at < chain.length - 1; at++) {
      const certificate = chain[at] as Certificate
      const issuer = chain[at + 1] as Certificate
      const link = links.find((other) => equalBytes(other.issuer.subject.raw, issuer.subject.raw))
      if (link === undefined) links.push({ issuer, issued: [certificate] })
      else link.issued.push(certificate)
    }
  return links
}

/** The lists that name this issuer. */
export function listsOf(
  issuer: Certificate,
  lists: readonly RevocationList[],
): readonly RevocationList[] {
  return lists.filter((list) => equalBytes(list.issuer.raw, issuer.subject.raw))
}

function checkIssuer(
  issuer: Certificate,
  issued: readonly Certificate[],
  { endorsements, now, allowMissing }: RevocationRequest,
  checks: Checks,
): void {
  const where = `revocation list of ${commonName(issuer.subject)}`
  const lists = listsOf(issuer, endorsements.revocationLists)
  const [first, ...others] = lists
  if (first === undefined) {
    checks.add('dcap.revocation.missing', allowMissing ? 'not-checked' : 'undecided', { where })
    return
  }
  checks.add('dcap.revocation.missing', 'pass', { where })
  for (const list of lists) {
    const signed = isEcdsaSha256(list) && wasSignedBy(list, issuer)
    if (!checks.require('dcap.revocation.signature-invalid', signed, { where })) return
  }
  const latest = others.reduce((a, b) => (a.nextUpdate >= b.nextUpdate ? a : b), first)
  const window = { from: latest.thisUpdate, until: latest.nextUpdate }
  checkWindow('revocation', window, { now, where }, checks)
  for (const { serial, subject } of issued) {
    const revoked = lists.some((list) => list.revoked.has(serial))
    checks.require('dcap.revocation.revoked', !revoked, {
      received: `${commonName(subject)}, serial number ${toHex(serial)}`,
      where,
    })
  }
}
