/** Whether the key in a token's header is one that the Relying Party trusts: `jwk` with `x5c`, as Trustee's KBS judges it. */
import { runtimeCrypto } from '#crypto'
import { fromBase64 } from '../bytes/base64.ts'
import { equalBytes } from '../bytes/equal.ts'
import type { PublicKey, SignatureScheme } from '../crypto/crypto.ts'
import { spkiFromJwk } from '../formats/jwk.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import type { Certificate } from '../formats/x509-certificate.ts'
import { hasPath } from '../formats/x509-path.ts'

const SCHEMES: Readonly<Record<string, SignatureScheme>> = {
  ES256: 'ecdsa-p256-sha256',
  RS256: 'rsa-pkcs1-sha256',
  RS384: 'rsa-pkcs1-sha384',
  RS512: 'rsa-pkcs1-sha512',
  PS256: 'rsa-pss-sha256',
  PS384: 'rsa-pss-sha384',
  PS512: 'rsa-pss-sha512',
}
const MAX_CHAIN = 8

export type JsonObject = Readonly<Record<string, unknown>>

/**
 * The key, once its certificate chain reaches a trusted one and the leaf holds the very key of the JWK.
 *
 * @returns undefined when it is not trusted
 * @throws FormatError when key or chain are malformed
 */
export async function trustedTokenKey(
  jwk: JsonObject,
  anchors: readonly Certificate[],
  now: Date,
): Promise<PublicKey | undefined> {
  const { alg, x5c } = jwk
  const scheme = typeof alg === 'string' && Object.hasOwn(SCHEMES, alg) ? SCHEMES[alg] : undefined
  if (scheme === undefined || !Array.isArray(x5c) || x5c.length === 0 || x5c.length > MAX_CHAIN)
    return undefined
  const texts: readonly unknown[] = x5c
  const chain = texts.map((text) => parseCertificate(fromBase64(String(text))))
  const [leaf, ...intermediates] = chain
  if (leaf === undefined || !equalBytes(leaf.spki, spkiFromJwk(jwk))) return undefined
  if (!(await hasPath({ leaf, intermediates, anchors, now }))) return undefined
  return runtimeCrypto.importPublicKey(leaf.spki, scheme)
}
