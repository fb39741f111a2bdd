import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toBase64 } from '../bytes/base64.ts'
import { jwkFromP256, spkiFromJwk } from '../formats/jwk.ts'
import { toDer } from '../formats/pem.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import { WITH_VECTORS, vector } from '../testing/vectors.ts'
import { trustedTokenKey } from './token-signer.ts'

type Json = Readonly<Record<string, unknown>>

const json = (path: string) => JSON.parse(new TextDecoder().decode(vector(path))) as Json

test('the key set of a token signer is what its certificate says', WITH_VECTORS, async () => {
  const chain = toDer([vector('ear/as-jwk/cert-chain.pem')])
  const [leaf] = chain.map(parseCertificate)
  assert.ok(leaf !== undefined)
  const jwk = { ...jwkFromP256(leaf.spki), alg: 'ES256', x5c: chain.map(toBase64) }
  assert.deepEqual({ keys: [jwk] }, json('ear/as-jwk/expected-jwks.json'))
  const inTime = await trustedTokenKey(jwk, [leaf], new Date('2026-06-01'))
  assert.ok(inTime !== undefined)
  assert.equal(await trustedTokenKey(jwk, [leaf], new Date('2035-01-01')), undefined)
})

test('a bare public JWK becomes a key and comes back the same', WITH_VECTORS, () => {
  const jwk = json('ear/pkey.json')
  assert.deepEqual({ ...jwkFromP256(spkiFromJwk(jwk)) }, jwk)
})
