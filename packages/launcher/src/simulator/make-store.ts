/** Makes the identity of a simulated secure processor, as `key-store` keeps it. */
import { generateKeyPair, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { toHex } from '@cloister/verifier/bytes/hex'
import { encodePem } from '@cloister/verifier/formats/pem'
import { issueChain } from './endorsement-chain.ts'

/** Two RSA-4096 keys take some seconds. */
export async function makeStore() {
  const generate = promisify(generateKeyPair)
  const [ark, ask, vcek] = await Promise.all([
    generate('rsa', { modulusLength: 4096 }),
    generate('rsa', { modulusLength: 4096 }),
    generate('ec', { namedCurve: 'P-384' }),
  ])
  const chipId = randomBytes(64)
  const keys = { ark: ark.privateKey, ask: ask.privateKey, vcek: vcek.privateKey }
  const chain = issueChain(keys, chipId, new Date())
  return {
    version: 1 as const,
    chipId: toHex(chipId),
    vcekKey: vcek.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
    ark: encodePem('CERTIFICATE', chain.ark),
    ask: encodePem('CERTIFICATE', chain.ask),
    vcek: encodePem('CERTIFICATE', chain.vcek),
    crl: encodePem('X509 CRL', chain.crl),
  }
}
