/**
 * The chain of a platform that runs SEV and SEV-ES: AMD's root (ARK) signs the ASK, that the chip's endorsement key (CEK), that together with the owner's
 * authority (OCA) the platform's key (PEK), and that the key for Diffie-Hellman (PDH) to which an owner opens a launch session.
 */
import { runtimeCrypto } from '#crypto'
import { concatBytes } from '../bytes/concat.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import type { SignatureScheme } from '../crypto/crypto.ts'
import {
  numberOf,
  parseAmdCertificate,
  parsePlatformCertificate,
  PLATFORM_CERTIFICATE_BYTES,
  SEV_USAGE,
  type AmdCertificate,
  type PlatformCertificate,
  type SevSignature,
} from './certificate.ts'

export interface SevRoot {
  readonly line: string
  /** SHA-256 of what an ARK's signature covers, lowercase hex: the ARK of Naples is published without a signature. */
  readonly fingerprint: string
}

/** The only anchors. Nothing adds to them but a test. */
export const SEV_ROOTS: readonly SevRoot[] = [
  root('Naples', '8efddcaaf84990cf6354d93637be270220cf15797332b3d918c3b8cc77349f31'),
  root('Rome', 'ae2456af6c6ad234badd6c75e58915be61568286766083853bf668e6e23977c3'),
  root('Milan', '263b13fd3170c6ffbb0b4f01f09848dc08a8dc1e9637d47e42cbe6c135e4af12'),
  root('Genoa', '973df6265e1b40cf8883305c1f6a6cd254979446acb40bd396946b2f19e751e9'),
  root('Turin', '89327696f8082b20f5a588565adc26d478e1c6d56153c1de656e63396b8f8e20'),
]

function root(line: string, fingerprint: string): SevRoot {
  return { line, fingerprint }
}

const SCHEMES = {
  'rsa-sha256': 'rsa-pss-sha256',
  'rsa-sha384': 'rsa-pss-sha384',
} as const

/** P-384 or P-256 and the hash of the signature. */
const EC_SCHEMES: Readonly<Record<string, SignatureScheme>> = {
  '48 ecdsa-sha256': 'ecdsa-p384-sha256',
  '48 ecdsa-sha384': 'ecdsa-p384-sha384',
  '32 ecdsa-sha256': 'ecdsa-p256-sha256',
}

export interface SevPlatform {
  readonly line: string
  /** Of the PDH: SubjectPublicKeyInfo in DER. */
  readonly pdh: Uint8Array
}

/** A link that does not hold. */
export class SevChainError extends Error {
  /** The certificate that is not signed as it must be, or the root that is not AMD's. */
  readonly link: string

  constructor(link: string, why: string) {
    super(`${link}: ${why}`)
    this.link = link
  }
}

/**
 * @param bytes - PDH, PEK, OCA, CEK, ASK, ARK, as `sevctl export --full` writes them
 * @param roots - another list in tests alone
 * @throws FormatError, SevChainError
 */
export async function verifySevChain(
  bytes: Uint8Array,
  roots: readonly SevRoot[] = SEV_ROOTS,
): Promise<SevPlatform> {
  const { pdh, pek, oca, cek, ask, ark } = parseChain(bytes)
  const fingerprint = toHex(await runtimeCrypto.digest('SHA-256', ark.body))
  const anchor = roots.find((known) => known.fingerprint === fingerprint)
  if (anchor === undefined) throw new SevChainError('ARK', 'it is no root of AMD')
  await requireAmdSignature('ASK', ask, ark)
  await requireSignature('CEK', cek, ask, SEV_USAGE.ask)
  await requireSignature('OCA', oca, oca, SEV_USAGE.oca)
  await requireSignature('PEK', pek, oca, SEV_USAGE.oca)
  await requireSignature('PEK', pek, cek, SEV_USAGE.cek)
  await requireSignature('PDH', pdh, pek, SEV_USAGE.pek)
  if (pdh.spki === undefined || !pdh.algorithm.startsWith('ecdh'))
    throw new SevChainError('PDH', 'its key is none for Diffie-Hellman')
  return { line: anchor.line, pdh: pdh.spki }
}

function parseChain(bytes: Uint8Array) {
  const platform = (index: number, usage: keyof typeof SEV_USAGE) => {
    const start = index * PLATFORM_CERTIFICATE_BYTES
    const certificate = parsePlatformCertificate(
      bytes.subarray(start, start + PLATFORM_CERTIFICATE_BYTES),
    )
    requireUsage(usage, certificate)
    return certificate
  }
  const [pdh, pek, oca, cek] = [
    platform(0, 'pdh'),
    platform(1, 'pek'),
    platform(2, 'oca'),
    platform(3, 'cek'),
  ]
  const { certificate: ask, rest } = parseAmdCertificate(
    bytes.subarray(4 * PLATFORM_CERTIFICATE_BYTES),
  )
  requireUsage('ask', ask)
  const { certificate: ark, rest: left } = parseAmdCertificate(rest)
  requireUsage('ark', ark)
  if (left.length > 0) throw new FormatError('SEV chain', 'end', bytes.length, 'bytes after it')
  return { pdh, pek, oca, cek, ask, ark }
}

function requireUsage(name: keyof typeof SEV_USAGE, { usage }: { readonly usage: number }): void {
  if (usage !== SEV_USAGE[name])
    throw new SevChainError(name.toUpperCase(), `usage 0x${usage.toString(16)} stands in its place`)
}

async function requireAmdSignature(
  link: string,
  { body, certifyingId, signature }: AmdCertificate,
  { keyId, spki, algorithm }: AmdCertificate,
): Promise<void> {
  const isNamed = toHex(certifyingId) === toHex(keyId)
  if (!isNamed || !(await isSigned(spki, SCHEMES[algorithm], body, signature)))
    throw new SevChainError(link, 'it is not signed by the ARK beside it')
}

/** By one of the two places for signatures, which names its maker's usage. */
async function requireSignature(
  link: string,
  { body, signatures }: PlatformCertificate,
  signer: AmdCertificate | PlatformCertificate,
  usage: number,
): Promise<void> {
  for (const signature of signatures)
    if (signature.usage === usage && (await holds(signature, body, signer))) return
  throw new SevChainError(link, 'it is not signed by the certificate above it')
}

async function holds(
  { algorithm, value }: SevSignature,
  body: Uint8Array,
  signer: AmdCertificate | PlatformCertificate,
): Promise<boolean> {
  // A key is for one kind of signature.
  if (signer.spki === undefined || algorithm !== signer.algorithm) return false
  if (algorithm === 'rsa-sha256' || algorithm === 'rsa-sha384') {
    const size = algorithm === 'rsa-sha256' ? 256 : 512
    return isSigned(signer.spki, SCHEMES[algorithm], body, numberOf(value, size, 'signature'))
  }
  if (!('fieldBytes' in signer)) return false
  const { fieldBytes: size } = signer
  const scheme = EC_SCHEMES[`${size} ${algorithm}`]
  if (scheme === undefined) return false
  const part = (start: number, field: string) =>
    numberOf(value.subarray(start, start + 72), size, field)
  return isSigned(signer.spki, scheme, body, concatBytes(part(0, 'r'), part(72, 's')))
}

async function isSigned(
  spki: Uint8Array,
  scheme: SignatureScheme,
  body: Uint8Array,
  signature: Uint8Array,
): Promise<boolean> {
  const key = await runtimeCrypto.importPublicKey(spki, scheme)
  return key !== undefined && (await runtimeCrypto.verify(key, body, signature))
}
