/** Dates and revocation of the certificates behind a host key. */
import { equalBytes } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toDer } from '../formats/pem.ts'
import type { Certificate } from '../formats/x509-certificate.ts'
import { parseRevocationList } from '../formats/x509-crl.ts'
import type { RevocationList } from '../formats/x509-crl.ts'
import { NAME_OID, nameValues } from '../formats/x509-name.ts'
import { isSignedBy } from '../formats/x509-verify.ts'
import type { CheckSink } from '../result/check.ts'
import type { SeCheckCode } from './check-codes.ts'

type Checks = CheckSink<SeCheckCode>

const MAX_LISTS = 64

export function checkDates(chain: readonly Certificate[], now: Date, checks: Checks): void {
  for (const certificate of chain) {
    const { notBefore, notAfter } = certificate
    const details = {
      expected: `${notBefore.toISOString()} to ${notAfter.toISOString()}`,
      received: now.toISOString(),
      where: unitOf(certificate),
    }
    checks.require('se.endorsement.not-yet-valid', notBefore <= now, details)
    checks.add('se.endorsement.expired', now <= notAfter ? 'pass' : 'undecided', details)
  }
}

export interface RevocationRequest {
  readonly inputs: readonly Uint8Array[]
  readonly now: Date
  readonly allowMissing: boolean
}

/**
 * Each certificate but the root must not be on its issuer's list. The signing service is no authority, so its list of host keys is
 * looked at where it is given and is not demanded.
 */
export async function checkRevocation(
  chain: readonly Certificate[],
  { inputs, now, allowMissing }: RevocationRequest,
  checks: Checks,
): Promise<void> {
  const lists = parseLists(inputs, checks)
  if (lists === undefined) return
  for (const [at, certificate] of chain.slice(0, -1).entries()) {
    const issuer = chain[at + 1] as Certificate
    const where = unitOf(certificate)
    const own = lists.filter((list) => equalBytes(list.issuer.raw, issuer.subject.raw))
    if (own.length === 0) {
      const demanded = at > 0 && !allowMissing
      checks.add('se.revocation.missing', demanded ? 'undecided' : 'not-checked', { where })
    }
    for (const list of own) await checkList(certificate, issuer, list, now, checks)
  }
}

async function checkList(
  certificate: Certificate,
  issuer: Certificate,
  list: RevocationList,
  now: Date,
  checks: Checks,
): Promise<void> {
  const where = unitOf(certificate)
  const signed = await isSignedBy(list, issuer)
  if (!checks.require('se.revocation.signature-invalid', signed, { where })) return
  const revoked = list.revoked.has(certificate.serial)
  checks.require('se.revocation.revoked', !revoked, { where })
  checks.require('se.revocation.not-yet-valid', list.thisUpdate <= now, { where })
  checks.add('se.revocation.expired', now <= list.nextUpdate ? 'pass' : 'undecided', { where })
}

function parseLists(
  inputs: readonly Uint8Array[],
  checks: Checks,
): readonly RevocationList[] | undefined {
  try {
    return toDer(inputs).slice(0, MAX_LISTS).map(parseRevocationList)
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    checks.add('se.revocation.malformed', 'fail', { received: error.message })
    return undefined
  }
}

function unitOf({ subject }: Certificate): string | undefined {
  return nameValues(subject, NAME_OID.organizationalUnit).at(-1)
}
