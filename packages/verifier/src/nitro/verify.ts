/** Who vouches for a Nitro document: algorithm, chain to a pinned root, dates, signature. Compares nothing with what anybody expects. */
import { runtimeCrypto } from '#crypto'
import { concatBytes } from '../bytes/concat.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import type { PublicKey } from '../crypto/crypto.ts'
import { coseSignedBytes } from '../formats/cose-sign1.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import type { Certificate } from '../formats/x509-certificate.ts'
import { commonName } from '../formats/x509-name.ts'
import { findChainProblem } from '../formats/x509-ordered-chain.ts'
import type { ChainFault } from '../formats/x509-ordered-chain.ts'
import { keyOf } from '../formats/x509-verify.ts'
import type { CheckSink } from '../result/check.ts'
import type { EndorsementCache } from '../result/endorsement-cache.ts'
import type { NitroCheckCode } from './check-codes.ts'
import { ES384, parseNitroDocument } from './document.ts'
import type { NitroDocument } from './document.ts'

type Checks = CheckSink<NitroCheckCode>

export interface NitroVerifyOptions {
  /** Instant at which certificates must be in date. */
  readonly now: Date
  /** SHA-256 of the roots that may vouch, lowercase hex. */
  readonly roots: readonly string[]
  readonly cache?: EndorsementCache | undefined
}

interface NitroChain {
  /** Leaf first. */
  readonly certificates: readonly Certificate[]
  readonly key: PublicKey
  readonly root: string
}

const FAULT_CODE: Readonly<Record<ChainFault, NitroCheckCode>> = {
  names: 'nitro.endorsement.name-mismatch',
  constraints: 'nitro.endorsement.constraints',
  signature: 'nitro.endorsement.signature-invalid',
}

/** The document's fields, checked for shape only. */
export function readDocument(bytes: Uint8Array, checks: Checks): NitroDocument | undefined {
  try {
    const document = parseNitroDocument(bytes)
    checks.add('nitro.document.malformed', 'pass')
    return document
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    checks.add('nitro.document.malformed', 'fail', { received: error.message })
    return undefined
  }
}

/** The fingerprint of the root that vouches, or undefined with the reason among the checks. */
export async function verifyNitroDocument(
  document: NitroDocument,
  options: NitroVerifyOptions,
  checks: Checks,
): Promise<string | undefined> {
  const { message } = document
  const known = checks.require(
    'nitro.document.algorithm-unsupported',
    message.algorithm === ES384,
    { expected: `${ES384}`, received: `${message.algorithm}` },
  )
  if (!known) return undefined
  const chain = await endorsementChain(document, options, checks)
  if (chain === undefined) return undefined
  checkDates(chain.certificates, options.now, checks)
  const good = await runtimeCrypto.verify(chain.key, coseSignedBytes(message), message.signature)
  return checks.require('nitro.signature.invalid', good) ? chain.root : undefined
}

/** The chain, from the cache when the same certificates were verified before. */
async function endorsementChain(
  { certificate, issuers }: NitroDocument,
  { now, roots, cache }: NitroVerifyOptions,
  checks: Checks,
): Promise<NitroChain | undefined> {
  const ders = [certificate, ...issuers.toReversed()]
  const key = cache && (await cacheKey(ders, roots))
  const known = key === undefined ? undefined : (cache?.get(key, now) as NitroChain | undefined)
  if (known !== undefined) {
    checks.add('nitro.endorsement.signature-invalid', 'pass', { where: 'verified before' })
    checks.add('nitro.endorsement.untrusted-root', 'pass', { received: known.root })
    return known
  }
  const chain = await verifyChain(ders, roots, checks)
  if (chain !== undefined && key !== undefined) cache?.set(key, chain, now)
  return chain
}

async function verifyChain(
  ders: readonly Uint8Array[],
  roots: readonly string[],
  checks: Checks,
): Promise<NitroChain | undefined> {
  const certificates = parseCertificates(ders, checks)
  const [leaf] = certificates ?? []
  const last = certificates?.at(-1)
  if (certificates === undefined || leaf === undefined || last === undefined) return undefined
  const root = toHex(await runtimeCrypto.digest('SHA-256', last.raw))
  const trusted = checks.require('nitro.endorsement.untrusted-root', roots.includes(root), {
    expected: roots.join(' or '),
    received: root,
  })
  if (!trusted) return undefined
  const problem = await findChainProblem(certificates)
  if (problem !== undefined) {
    const where = `certificate ${problem.at}, leaf is 0`
    checks.add(FAULT_CODE[problem.fault], 'fail', { where })
    return undefined
  }
  for (const code of Object.values(FAULT_CODE)) checks.add(code, 'pass')
  const key = await keyOf(leaf, 'ecdsa-p384-sha384')
  if (key === undefined) {
    checks.add('nitro.endorsement.constraints', 'fail', { where: 'leaf key is not P-384' })
    return undefined
  }
  return { certificates, key, root }
}

function parseCertificates(
  ders: readonly Uint8Array[],
  checks: Checks,
): readonly Certificate[] | undefined {
  try {
    return ders.map(parseCertificate)
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    checks.add('nitro.endorsement.malformed', 'fail', { received: error.message })
    return undefined
  }
}

/** Everything that the chain depends on: each part with its length, the contents by their digest. */
async function cacheKey(ders: readonly Uint8Array[], roots: readonly string[]): Promise<string> {
  const lengths = ders.map(({ length }) => length).join()
  const digest = toHex(await runtimeCrypto.digest('SHA-256', concatBytes(...ders)))
  return `nitro:${roots.join()}:${lengths}:${digest}`
}

function checkDates(certificates: readonly Certificate[], now: Date, checks: Checks): void {
  for (const { notBefore, notAfter, subject } of certificates) {
    const where = commonName(subject)
    if (notBefore.getTime() <= now.getTime())
      checks.add('nitro.endorsement.not-yet-valid', 'pass', { where })
    else
      checks.add('nitro.endorsement.not-yet-valid', 'fail', {
        expected: `from ${notBefore.toISOString()}`,
        received: now.toISOString(),
        where,
      })
    if (now.getTime() <= notAfter.getTime())
      checks.add('nitro.endorsement.expired', 'pass', { where })
    else
      checks.add('nitro.endorsement.expired', 'undecided', {
        expected: `until ${notAfter.toISOString()}`,
        received: now.toISOString(),
        where,
      })
  }
}
