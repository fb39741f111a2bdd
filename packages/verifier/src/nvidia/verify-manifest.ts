/** Who vouches for a reference manifest: its own signature, and the signer's chain to the pinned root. */
import { runtimeCrypto } from '#crypto'
import { equalBytes } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import type { Certificate } from '../formats/x509-certificate.ts'
import { commonName } from '../formats/x509-name.ts'
import { findChainProblem } from '../formats/x509-ordered-chain.ts'
import type { CheckSink } from '../result/check.ts'
import type { NvidiaCheckCode } from './check-codes.ts'
import { parseReferenceManifest } from './manifest.ts'
import type { ManifestSignature, ReferenceManifest } from './manifest.ts'

type Checks = CheckSink<NvidiaCheckCode>

export interface VerifiedManifest {
  readonly manifest: ReferenceManifest
  /** Signer first, root last. */
  readonly chain: readonly Certificate[]
}

export interface ManifestOptions {
  readonly now: Date
  /** SHA-256 of the root, lowercase hex. */
  readonly root: string
}

const MAX_MANIFESTS = 64

/** Those that may be believed; what is wrong with the others is among the checks, and fails the appraisal. */
export async function verifyManifests(
  inputs: readonly Uint8Array[],
  options: ManifestOptions,
  checks: Checks,
): Promise<readonly VerifiedManifest[]> {
  const verified: VerifiedManifest[] = []
  if (inputs.length > MAX_MANIFESTS)
    checks.add('nvidia.manifest.malformed', 'fail', { received: `${inputs.length} manifests` })
  for (const input of inputs.slice(0, MAX_MANIFESTS)) {
    const manifest = readManifest(input, checks)
    const chain = manifest && (await verifyManifest(manifest, options, checks))
    if (manifest !== undefined && chain !== undefined) verified.push({ manifest, chain })
  }
  return verified
}

function readManifest(input: Uint8Array, checks: Checks): ReferenceManifest | undefined {
  try {
    return parseReferenceManifest(input)
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    checks.add('nvidia.manifest.malformed', 'fail', { received: error.message })
    return undefined
  }
}

async function verifyManifest(
  { signature, version }: ReferenceManifest,
  { now, root }: ManifestOptions,
  checks: Checks,
): Promise<readonly Certificate[] | undefined> {
  const where = `manifest ${version}`
  const chain = signature?.certificates ?? []
  const [signer] = chain
  const last = chain.at(-1)
  if (signature === undefined || signer === undefined || last === undefined) {
    checks.add('nvidia.manifest.signature-invalid', 'fail', { received: 'no signature', where })
    return undefined
  }
  const received = toHex(await runtimeCrypto.digest('SHA-256', last.raw))
  const anchored = checks.require('nvidia.manifest.untrusted-root', received === root, {
    expected: root,
    received,
    where,
  })
  if (!anchored) return undefined
  const problem = await findChainProblem(chain)
  const signed = problem === undefined && (await isSigned(signature, signer))
  checks.require('nvidia.manifest.signature-invalid', signed, {
    received: problem && `${problem.fault} of certificate ${problem.at}, signer is 0`,
    where,
  })
  checkDates(chain, now, where, checks)
  return signed ? chain : undefined
}

/** The signature covers SignedInfo, which names the digest of all the rest. */
async function isSigned(signature: ManifestSignature, signer: Certificate): Promise<boolean> {
  const { content, digest, signedInfo, value } = signature
  if (!equalBytes(await runtimeCrypto.digest('SHA-384', content), digest)) return false
  const key = await runtimeCrypto.importPublicKey(signer.spki, 'ecdsa-p384-sha384')
  return key !== undefined && (await runtimeCrypto.verify(key, signedInfo, value))
}

function checkDates(chain: readonly Certificate[], now: Date, where: string, checks: Checks): void {
  const early = chain.find(({ notBefore }) => now < notBefore)
  const late = chain.find(({ notAfter }) => notAfter < now)
  checks.require('nvidia.manifest.not-yet-valid', early === undefined, {
    expected: early && `from ${early.notBefore.toISOString()}`,
    received: early && `${commonName(early.subject)} at ${now.toISOString()}`,
    where,
  })
  checks.add('nvidia.manifest.expired', late === undefined ? 'pass' : 'undecided', {
    expected: late && `until ${late.notAfter.toISOString()}`,
    received: late && `${commonName(late.subject)} at ${now.toISOString()}`,
    where,
  })
}
