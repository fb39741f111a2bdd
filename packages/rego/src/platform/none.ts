/** Where there is no Node: the host gives a provider to `compile`, or the built-ins that need one refuse. */
import type { CryptoProvider } from '../crypto.ts'

export const platformCrypto: CryptoProvider | undefined = undefined
