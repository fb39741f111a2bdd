/**
 * Tokens that this broker issued or verified lately, with what they say: a guest asks for several resources with one token, and
 * the second time its signature need not be checked again. The whole token is compared, so nothing is taken on trust.
 */
import {
  readAttestationResult,
  type AttestationFindings,
  type AttestationResult,
} from './attestation-result.ts'
import type { EarClaims } from './ear.ts'
import { Recent } from './recent.ts'
import type { TokenSigner } from './token-signer.ts'

/** Of tokens, characters all together: some 4 Ki each as a rule, but a guest's initdata can make one large. */
const KEPT_LENGTH = 1 << 20
/** Base64url digits of an ES256 signature, the end of a token, which names it. */
const SIGNATURE_LENGTH = 86

export class IssuedTokens {
  readonly #signer: TokenSigner
  readonly #results = new Recent<AttestationResult>(KEPT_LENGTH)

  constructor(signer: TokenSigner) {
    this.#signer = signer
  }

  /** Signs the claims that say what was found. What is kept is what {@link read} would find in the token. */
  issue(claims: EarClaims, findings: AttestationFindings): string {
    const token = this.#signer.sign(claims)
    this.#keep(token, { ...findings, expiresAt: claims.exp * 1000, token })
    return token
  }

  /** @param token - attacker-controlled. @returns undefined when this broker did not issue it, or it has expired */
  read(token: string, now: number): AttestationResult | undefined {
    const kept = this.#results.get(nameOf(token))
    const result = kept?.token === token ? kept : this.#verify(token)
    return result !== undefined && now < result.expiresAt ? result : undefined
  }

  #verify(token: string): AttestationResult | undefined {
    const result = readAttestationResult(token, this.#signer.verify(token))
    if (result !== undefined) this.#keep(token, result)
    return result
  }

  #keep(token: string, result: AttestationResult): void {
    this.#results.put(nameOf(token), result, token.length)
  }
}

function nameOf(token: string): string {
  return token.slice(-SIGNATURE_LENGTH)
}
