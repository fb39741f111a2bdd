/** For `node --import`: the verifier on WebCrypto, as browsers have it, instead of Node's own cryptography. */
import { registerHooks } from 'node:module'

const WEB_CRYPTO = new URL('../src/crypto/web-crypto.ts', import.meta.url).href

registerHooks({
  resolve: (specifier, context, next) =>
    specifier === '#crypto' ? { url: WEB_CRYPTO, shortCircuit: true } : next(specifier, context),
})
