/** The crypto provider of a policy that was given none. */
import type { CryptoProvider } from './crypto.ts'

let provider: CryptoProvider | undefined

/** For hosts without Node: what policies compiled from now on use unless they are given their own. */
export function setDefaultCrypto(crypto: CryptoProvider): void {
  provider = crypto
}

export function defaultCrypto(): CryptoProvider | undefined {
  return provider
}
