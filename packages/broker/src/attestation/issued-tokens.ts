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
import type { TokenSigner } from './token-signer.ts'

/** Some 4 KiB each. */
const KEPT = 256

export class IssuedTokens {
  readonly #signer: TokenSigner
  readonly #results = new Map<string, AttestationResult>()

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
    const result = this.#results.get(token) ?? this.#verify(token)
    return result !== undefined && now < result.expiresAt ? result : undefined
  }

  #verify(token: string): AttestationResult | undefined {
    const result = readAttestationResult(token, this.#signer.verify(token))
    if (result !== undefined) this.#keep(token, result)
    return result
  }

  #keep(token: string, result: AttestationResult): void {
    if (this.#results.size >= KEPT) {
      const oldest = this.#results.keys().next().value
      if (oldest !== undefined) this.#results.delete(oldest)
    }
    this.#results.set(token, result)
  }
}
