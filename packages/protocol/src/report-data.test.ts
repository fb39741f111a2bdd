import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { TeePublicKeySchema } from './kbs.ts'
import { primaryReportData, verifyReportData } from './report-data.ts'

const x = 'A'.repeat(43)
const teePublicKey = TeePublicKeySchema.parse({
  y: x,
  x,
  alg: 'ECDH-ES+A256KW',
  crv: 'P-256',
  kty: 'EC',
  kid: 'dropped',
})
const keyText = `{"alg":"ECDH-ES+A256KW","crv":"P-256","kty":"EC","x":"${x}","y":"${x}"}`
const padded = (hash: string, text: string) =>
  Buffer.concat([createHash(hash).update(text).digest(), Buffer.alloc(64)]).subarray(0, 64)

test('primaryReportData() hashes the canonical runtime data with the additional evidence', () => {
  assert.deepEqual(
    Buffer.from(primaryReportData({ nonce: 'bm9uY2U=', teePublicKey }, '')),
    padded('sha384', `{"additional-evidence":"","nonce":"bm9uY2U=","tee-pubkey":${keyText}}`),
  )
  assert.deepEqual(
    Buffer.from(primaryReportData({ nonce: 'n', teePublicKey }, '{"b":1}', 'sha512')),
    padded('sha512', `{"additional-evidence":"{\\"b\\":1}","nonce":"n","tee-pubkey":${keyText}}`),
  )
})

test('verifyReportData() binds nonce and both keys, and bounds the nonce', () => {
  const nonce = Buffer.alloc(32, 7)
  const sha256 = (text: string) => createHash('sha256').update(text).digest()
  assert.deepEqual(
    verifyReportData(nonce, Buffer.from('agent'), Buffer.from('channel')),
    createHash('sha512')
      .update(
        Buffer.concat([
          Buffer.from('cloister/verify/1'),
          nonce,
          sha256('agent'),
          sha256('channel'),
        ]),
      )
      .digest(),
  )
  for (const length of [0, 15, 65])
    assert.throws(() => verifyReportData(Buffer.alloc(length), nonce, nonce), RangeError)
})
