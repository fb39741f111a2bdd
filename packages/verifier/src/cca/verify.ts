/**
 * Who vouches for a CCA token: the realm key for the realm token, the platform token for the realm key, and a platform key (CPAK) that
 * the caller was given by an Endorser for the platform token. There are no certificates and no dates.
 */
import { runtimeCrypto } from '#crypto'
import { equalBytes } from '../bytes/equal.ts'
import { FormatError } from '../bytes/format-error.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import type { DigestAlgorithm } from '../crypto/crypto.ts'
import { COSE_SCHEMES, coseSignedBytes } from '../formats/cose-sign1.ts'
import { DerReader } from '../formats/der-reader.ts'
import { toDer } from '../formats/pem.ts'
import { readKeyKind } from '../formats/x509-algorithm.ts'
import type { CheckSink } from '../result/check.ts'
import type { CcaCheckCode } from './check-codes.ts'
import { parseCcaToken } from './token.ts'
import type { CcaToken } from './token.ts'

type Checks = CheckSink<CcaCheckCode>

/** A trust anchor: who endorses it is the caller's knowledge. */
export interface CcaPlatformKey {
  /** SubjectPublicKeyInfo, DER or PEM. */
  readonly publicKey: Uint8Array
  /** 32 bytes, hex, of the platforms that it is for. Absent means any. */
  readonly implementationId?: string
  /** 33 bytes, hex. Absent means any. */
  readonly instanceId?: string
}

const ES384 = -35
const DIGESTS: Readonly<Record<string, DigestAlgorithm>> = {
  'sha-256': 'SHA-256',
  'sha-384': 'SHA-384',
  'sha-512': 'SHA-512',
}
/** More keys than this are not tried: each costs a signature check. */
const MAX_KEYS = 16

/** The token's claims, checked for shape only. */
export function readToken(bytes: Uint8Array, checks: Checks): CcaToken | undefined {
  try {
    const token = parseCcaToken(bytes)
    checks.add('cca.token.malformed', 'pass')
    return token
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    checks.add('cca.token.malformed', 'fail', { received: error.message })
    return undefined
  }
}

/** SHA-256 of the platform key that vouches, or undefined with the reason among the checks. */
export async function verifyCcaToken(
  token: CcaToken,
  keys: readonly CcaPlatformKey[],
  checks: Checks,
): Promise<string | undefined> {
  const realm = await checkRealm(token, checks)
  const platform = await checkPlatform(token, keys, checks)
  return realm ? platform : undefined
}

async function checkRealm({ realm, platform }: CcaToken, checks: Checks): Promise<boolean> {
  const { message, claims } = realm
  const known = checks.require('cca.realm.algorithm-unsupported', message.algorithm === ES384, {
    expected: `${ES384}`,
    received: `${message.algorithm}`,
  })
  if (!known) return false
  const key = await runtimeCrypto.importPublicKey(claims.publicKey.spki, 'ecdsa-p384-sha384')
  const signed =
    key !== undefined &&
    (await runtimeCrypto.verify(key, coseSignedBytes(message), message.signature))
  checks.require('cca.realm.signature-invalid', signed)
  const algorithm = DIGESTS[claims.publicKeyHashAlgorithm]
  const digest = algorithm && (await runtimeCrypto.digest(algorithm, claims.publicKeyBytes))
  const bound = digest !== undefined && equalBytes(digest, platform.claims.challenge)
  checks.require('cca.realm.key-mismatch', bound, {
    expected: digest && toHex(digest),
    received: toHex(platform.claims.challenge),
    where: 'platform challenge',
  })
  return signed && bound
}

async function checkPlatform(
  { platform }: CcaToken,
  keys: readonly CcaPlatformKey[],
  checks: Checks,
): Promise<string | undefined> {
  const { message, claims } = platform
  const scheme = COSE_SCHEMES.get(message.algorithm)
  checks.require('cca.platform.algorithm-unsupported', scheme !== undefined, {
    received: `${message.algorithm}`,
  })
  if (scheme === undefined) return undefined
  const candidates = keys.filter(
    ({ implementationId, instanceId }) =>
      isFor(implementationId, claims.implementationId) && isFor(instanceId, claims.instanceId),
  )
  if (candidates.length === 0) {
    const received = `${toHex(claims.implementationId)}, ${toHex(claims.instanceId)}`
    checks.add('cca.platform.key-missing', 'undecided', { received })
    return undefined
  }
  checks.add('cca.platform.key-missing', 'pass')
  const spkis = readKeys(candidates, checks)
  const data = coseSignedBytes(message)
  for (const spki of spkis?.slice(0, MAX_KEYS) ?? []) {
    const key = await runtimeCrypto.importPublicKey(spki, scheme)
    if (key === undefined || !(await runtimeCrypto.verify(key, data, message.signature))) continue
    checks.add('cca.platform.signature-invalid', 'pass')
    return toHex(await runtimeCrypto.digest('SHA-256', spki))
  }
  if (spkis !== undefined) checks.add('cca.platform.signature-invalid', 'fail')
  return undefined
}

/** @throws RangeError when the id is not hex: a mistake of the caller */
function isFor(wanted: string | undefined, received: Uint8Array): boolean {
  if (wanted === undefined) return true
  try {
    return equalBytes(fromHex(wanted), received)
  } catch (error) {
    throw new RangeError('an id of a platform key is not hex', { cause: error })
  }
}

function readKeys(
  keys: readonly CcaPlatformKey[],
  checks: Checks,
): readonly Uint8Array[] | undefined {
  try {
    const spkis = toDer(keys.map(({ publicKey }) => publicKey))
    for (const spki of spkis) {
      const reader = new DerReader('public key', spki)
      readKeyKind(reader)
      reader.end()
    }
    return spkis
  } catch (error) {
    if (!(error instanceof FormatError)) throw error
    checks.add('cca.platform.key-malformed', 'fail', { received: error.message })
    return undefined
  }
}
