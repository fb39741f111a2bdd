import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseReference } from './reference.ts'
import {
  matchesIdentity,
  parseSignaturePolicy,
  requirementsFor,
  type SignedIdentity,
} from './signature-policy.ts'
import { encodeSignedPayload, parseSignedPayload } from './simple-signing.ts'

const VECTORS = join(
  process.env['CLOISTER_VECTORS'] ?? join(import.meta.dirname, '../../../../shared/vectors'),
  'image/signature',
)
const skip = existsSync(VECTORS) ? false : 'no vectors: set CLOISTER_VECTORS'
const MALFORMED = { code: 'image.policy-malformed' }
const ANY = { type: 'insecureAcceptAnything' }
const REJECT = { type: 'reject' }
const DIGEST = `sha256:${'a'.repeat(64)}`

test('what would fail open, or is not supported, is refused', () => {
  const key = { type: 'sigstoreSigned', keyData: 'x' }
  const bad: unknown[] = [
    undefined,
    {},
    { default: [] },
    { default: [ANY], transports: { docker: { 'a.example': [] } } },
    { default: [{ type: 'unknown' }] },
    { default: [{ type: 'signedBy', keyType: 'GPGKeys', keyData: 'x' }] },
    { default: [{ ...key, keyPath: '/k' }] },
    { default: [{ type: 'sigstoreSigned' }] },
    { default: [{ ...key, rekorPublicKeyPath: '/k' }] },
    { default: [{ type: 'sigstoreSigned', keyDatas: [] }] },
    { default: [{ ...key, signedIdentity: { type: 'matchAny' } }] },
    { default: [ANY], transport: {} },
  ]
  for (const policy of bad) assert.throws(() => parseSignaturePolicy(policy), MALFORMED)
})

test('policies with GPG keys are refused, for they could not be enforced', { skip }, () => {
  for (const file of ['policy.json', 'sample-policy.json']) {
    const policy: unknown = JSON.parse(readFileSync(join(VECTORS, file), 'utf8'))
    assert.throws(() => parseSignaturePolicy(policy), MALFORMED)
  }
})

test('the most specific scope decides', () => {
  const scopes = [
    `host.example.com:5000/team/app@${DIGEST}`,
    'host.example.com:5000/team/app:v1',
    'host.example.com:5000/team/app',
    'host.example.com:5000/team',
    'host.example.com:5000',
    '*.example.com',
    '*.com',
    '',
  ]
  const reference = parseReference(`host.example.com:5000/team/app:v1@${DIGEST}`)
  for (const [index, scope] of scopes.entries()) {
    const rest = scopes.slice(index + 1).map((name) => [name, [REJECT]] as const)
    const docker = Object.fromEntries([...rest, [scope, [ANY]]])
    const policy = parseSignaturePolicy({ default: [REJECT], transports: { docker } })
    assert.equal(requirementsFor(policy, reference)[0]?.type, ANY.type, scope)
  }
  const others = {
    'host.example.com:5000/te': [ANY],
    '*.ample.com': [ANY],
    'host.example.com': [ANY],
  }
  const policy = parseSignaturePolicy({
    default: [REJECT],
    transports: { docker: others, dir: { '': [ANY] } },
  })
  assert.equal(requirementsFor(policy, reference)[0]?.type, 'reject')
})

test('signedIdentity as containers/image decides', () => {
  const tagged = 'reg.example/app:v1'
  const pinned = `reg.example/app@${DIGEST}`
  const cases: readonly (readonly [SignedIdentity, string, string, boolean])[] = [
    [{ type: 'matchExact' }, tagged, tagged, true],
    [{ type: 'matchExact' }, tagged, 'reg.example/app:v2', false],
    [{ type: 'matchExact' }, tagged, 'reg.example/app', false],
    [{ type: 'matchExact' }, pinned, tagged, false],
    [{ type: 'matchRepoDigestOrExact' }, tagged, tagged, true],
    [{ type: 'matchRepoDigestOrExact' }, tagged, 'reg.example/app:v2', false],
    [{ type: 'matchRepoDigestOrExact' }, pinned, 'reg.example/app:v2', true],
    [{ type: 'matchRepoDigestOrExact' }, pinned, 'reg.example/app', false],
    [{ type: 'matchRepoDigestOrExact' }, pinned, 'reg.example/other:v1', false],
    [{ type: 'matchRepository' }, tagged, 'reg.example/app', true],
    [{ type: 'matchRepository' }, tagged, 'reg.example/app2', false],
    [{ type: 'exactReference', dockerReference: tagged }, 'mirror.example/x:1', tagged, true],
    [{ type: 'exactReference', dockerReference: tagged }, tagged, 'reg.example/app', false],
    [
      { type: 'exactRepository', dockerRepository: 'reg.example/app' },
      'mirror.example/x:1',
      tagged,
      true,
    ],
    [{ type: 'exactRepository', dockerRepository: 'reg.example/other' }, tagged, tagged, false],
    [
      { type: 'remapIdentity', prefix: 'mirror.example', signedPrefix: 'reg.example' },
      'mirror.example/app:v1',
      tagged,
      true,
    ],
    [
      { type: 'remapIdentity', prefix: 'mirror.ex', signedPrefix: 'reg.ex' },
      'mirror.example/app:v1',
      tagged,
      false,
    ],
  ]
  for (const [identity, image, signed, expected] of cases) {
    const payload = parseSignedPayload(encodeSignedPayload(DIGEST, signed))
    assert.equal(payload?.manifestDigest, DIGEST)
    const matches = matchesIdentity(identity, parseReference(image), payload.identity)
    assert.equal(matches, expected, `${identity.type} ${image} ${signed}`)
  }
})

test('a payload of another type or shape proves nothing', () => {
  const honest = JSON.parse(encodeSignedPayload(DIGEST, 'reg.example/app').toString()) as {
    critical: object
  }
  const encode = (critical: object) => Buffer.from(JSON.stringify({ ...honest, critical }))
  assert.notEqual(parseSignedPayload(encode(honest.critical)), undefined)
  assert.equal(
    parseSignedPayload(encode({ ...honest.critical, type: 'atomic container signature' })),
    undefined,
  )
  assert.equal(parseSignedPayload(encode({ ...honest.critical, more: 1 })), undefined)
  assert.equal(parseSignedPayload(Buffer.from('x')), undefined)
})
