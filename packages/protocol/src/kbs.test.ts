import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  KbsAttestationSchema,
  kbsError,
  KbsRequestSchema,
  readKbsError,
  TeePublicKeySchema,
} from './kbs.ts'

const key = { kty: 'EC', crv: 'P-256', alg: 'ECDH-ES+A256KW', x: 'A'.repeat(43), y: 'B'.repeat(43) }

test('KbsRequestSchema demands extra-params and lets unknown members pass', () => {
  const request = { version: '0.4.0', tee: 'snp', 'extra-params': '', later: 1 }
  assert.equal(KbsRequestSchema.safeParse(request).success, true)
  assert.equal(KbsRequestSchema.safeParse({ version: '0.4.0', tee: 'snp' }).success, false)
})

test('TeePublicKeySchema drops unknown members and refuses other algorithms and widths', () => {
  assert.deepEqual(TeePublicKeySchema.parse({ ...key, kid: 'x' }), key)
  const bad = [
    { ...key, x: 'A'.repeat(42) },
    { ...key, crv: 'P-384' },
    { ...key, alg: 'ECDH-ES' },
    { kty: 'RSA', alg: 'RSA1_5', n: 'A'.repeat(342), e: 'AQAB' },
    { kty: 'RSA', alg: 'RSA-OAEP-256', n: 'A'.repeat(171), e: 'AQAB' },
  ]
  for (const value of bad) assert.equal(TeePublicKeySchema.safeParse(value).success, false)
})

test('KbsAttestationSchema takes absent and null init-data alike', () => {
  const message = {
    'runtime-data': { nonce: 'n', 'tee-pubkey': key },
    'tee-evidence': { primary_evidence: {}, additional_evidence: '' },
  }
  assert.equal(KbsAttestationSchema.parse(message)['init-data'], undefined)
  assert.equal(
    KbsAttestationSchema.parse({ ...message, 'init-data': null })['init-data'],
    undefined,
  )
})

test('readKbsError() finds the code and the request id of kbsError()', () => {
  const id = '0123456789abcdef0123456789abcdef'
  const error = kbsError('PolicyDeny', 'Access denied by policy', 'release.refused', id)
  assert.equal(error.type, 'https://github.com/confidential-containers/kbs/errors/PolicyDeny')
  assert.deepEqual(readKbsError(error), {
    variant: 'PolicyDeny',
    code: 'release.refused',
    requestId: id,
  })
  assert.deepEqual(readKbsError({ type: error.type, detail: 'Access denied by policy' }), {
    variant: 'PolicyDeny',
  })
})
