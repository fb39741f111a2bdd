/** The cryptography that built-ins use, given from outside so that this package runs in a browser as well. */

export type HashName = 'md5' | 'sha1' | 'sha256' | 'sha384' | 'sha512'

/** How a signature was made, in the words of JWS (RFC 7518, RFC 8037). */
export type SignatureAlgorithm = `${'RS' | 'PS' | 'ES'}${256 | 384 | 512}` | 'EdDSA'

/** A public key: SPKI or certificate in DER, or a JWK. */
export type PublicKey =
  | { readonly kind: 'spki'; readonly der: Uint8Array }
  | { readonly kind: 'jwk'; readonly jwk: Readonly<Record<string, string>> }

/** Synchronous primitives. Every method throws on input it cannot use; `verify` answers false for a wrong signature. */
export interface CryptoProvider {
  hash(name: HashName, data: Uint8Array): Uint8Array
  hmac(name: HashName, key: Uint8Array, data: Uint8Array): Uint8Array
  /** ECDSA signatures are the two numbers side by side, as in JWS. */
  verify(
    algorithm: SignatureAlgorithm,
    key: PublicKey,
    data: Uint8Array,
    signature: Uint8Array,
  ): boolean
  /** The signature of a DER structure such as a certificate: ECDSA in DER form. */
  verifyDer(
    hash: HashName | undefined,
    spki: Uint8Array,
    data: Uint8Array,
    signature: Uint8Array,
  ): boolean
  randomBytes(length: number): Uint8Array
}
