/** Who vouches for one device's report: chain to the pinned root, dates, firmware id, signature. Compares nothing with what anybody expects. */
import { runtimeCrypto } from '#crypto'
import { equalBytes } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import type { Certificate } from '../formats/x509-certificate.ts'
import { commonName } from '../formats/x509-name.ts'
import { keyOf } from '../formats/x509-verify.ts'
import type { CheckSink } from '../result/check.ts'
import type { EndorsementCache } from '../result/endorsement-cache.ts'
import { deviceChain } from './chain.ts'
import type { NvidiaCheckCode } from './check-codes.ts'
import { readFwid } from './fwid.ts'
import { OPAQUE } from './opaque-data.ts'
import { checkRevocation } from './revocation.ts'
import type { RevocationRequest } from './revocation.ts'
import { parseNvidiaReport } from './report.ts'
import type { NvidiaReport } from './report.ts'

type Checks = CheckSink<NvidiaCheckCode>

export interface NvidiaVerifyOptions {
  /** The device's certificates, DER or PEM, in any order. */
  readonly certificates: readonly Uint8Array[]
  readonly now: Date
  /** SHA-256 of the root, lowercase hex. */
  readonly root: string
  readonly revocation: RevocationRequest
  readonly cache: EndorsementCache | undefined
}

/** The report's fields, checked for shape only. */
export function readReport(bytes: Uint8Array, checks: Checks): NvidiaReport | undefined {
  try {
    const report = parseNvidiaReport(bytes)
    checks.add('nvidia.report.malformed', 'pass')
    return report
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    checks.add('nvidia.report.malformed', 'fail', { received: error.message })
    return undefined
  }
}

/** Whether the report may be believed; if not, the reason is among the checks. */
export async function verifyNvidiaReport(
  report: NvidiaReport,
  { certificates, now, root, revocation, cache }: NvidiaVerifyOptions,
  checks: Checks,
): Promise<boolean> {
  const chain = await deviceChain(certificates, report, { root, now, cache }, checks)
  const [leaf] = chain ?? []
  if (chain === undefined || leaf === undefined) return false
  checkDates(chain, now, checks)
  await checkRevocation(chain, 1, revocation, checks)
  const known = checkFwid(leaf, report, checks)
  const key = await keyOf(leaf, 'ecdsa-p384-sha384')
  const signed =
    key !== undefined && (await runtimeCrypto.verify(key, report.signed, report.signature))
  return checks.require('nvidia.signature.invalid', signed) && known
}

/** Reports of older drivers do not name their firmware: then the certificate alone does. */
function checkFwid(leaf: Certificate, report: NvidiaReport, checks: Checks): boolean {
  let fwid: Uint8Array | undefined
  try {
    fwid = readFwid(leaf)
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    checks.add('nvidia.endorsement.malformed', 'fail', { received: error.message })
    return false
  }
  if (fwid === undefined) return false
  const reported = report.opaque.get(OPAQUE.fwid)
  if (reported === undefined) {
    checks.add('nvidia.fwid.mismatch', 'not-checked', { expected: toHex(fwid), received: 'absent' })
    return true
  }
  return checks.require('nvidia.fwid.mismatch', equalBytes(fwid, reported), {
    expected: toHex(fwid),
    received: toHex(reported),
  })
}

function checkDates(chain: readonly Certificate[], now: Date, checks: Checks): void {
  for (const { notBefore, notAfter, subject } of chain) {
    const details = {
      expected: `${notBefore.toISOString()} to ${notAfter.toISOString()}`,
      received: now.toISOString(),
      where: commonName(subject),
    }
    checks.require('nvidia.endorsement.not-yet-valid', notBefore <= now, details)
    checks.add('nvidia.endorsement.expired', now <= notAfter ? 'pass' : 'undecided', details)
  }
}
