import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toUtf8 } from '../bytes/text.ts'
import { cborArray, cborBytes, cborInt, cborMap, cborText } from '../formats/cbor-item.ts'
import type { CborItem } from '../formats/cbor-item.ts'
import { encodePem } from '../formats/pem.ts'
import { ANY_CCA } from '../testing/any-expectation.ts'
import { FakeArm, ccaToken } from '../testing/fake-arm.ts'
import { appraiseCca } from './appraise.ts'
import { CCA_CHECKS } from './check-codes.ts'
import type { CcaCheckCode } from './check-codes.ts'
import type { CcaPolicy } from './policy.ts'
import type { CcaPlatformKey } from './verify.ts'

// Every rule has a case that breaks it.

const NOW = new Date('2026-06-01T00:00:00Z')
const ARM = new FakeArm()
const OTHER = new FakeArm()
const IDS = { implementationId: '09'.repeat(32), instanceId: `01${'08'.repeat(32)}` }
const seen = new Set<string>()

interface Case {
  readonly code: CcaCheckCode
  readonly what?: string
  readonly status?: 'contraindicated' | 'none' | 'warning'
  readonly token?: () => Uint8Array
  readonly keys?: readonly CcaPlatformKey[]
  readonly expect?: object
  readonly policy?: CcaPolicy
}

const bytes = (size: number, value = 1) => cborBytes(new Uint8Array(size).fill(value))
const component = (...entries: readonly (readonly [number, CborItem])[]) => ({
  2399: cborArray(cborMap(entries)),
})
const malformedPlatform: Readonly<Record<string, Record<number, CborItem | undefined>>> = {
  'no profile': { 265: undefined },
  'unknown profile': { 265: cborText('x') },
  'challenge of 31 bytes': { 10: bytes(31) },
  'challenge of 40 bytes': { 10: bytes(40) },
  'two challenges': { 10: cborArray(bytes(32), bytes(32)) },
  'instance id of another type': { 256: bytes(33, 2) },
  'instance id too short': { 256: bytes(32) },
  'implementation id too long': { 2396: bytes(33) },
  'empty configuration': { 2401: bytes(0) },
  'unknown lifecycle': { 2395: cborInt(0x7000) },
  'lifecycle beyond 16 bits': { 2395: cborInt(0x1_3000) },
  'no component': { 2399: cborArray() },
  'component without measurement': component([5, bytes(32)]),
  'component without signer': component([2, bytes(32)]),
  'component that is text': { 2399: cborArray(cborText('x')) },
  'component of unknown hash': component([2, bytes(32)], [5, bytes(32)], [6, cborText('md5')]),
  'empty verification service': { 2400: cborText('') },
  'unknown hash': { 2402: cborText('none') },
}
const malformedRealm: Readonly<Record<string, Record<number, CborItem | undefined>>> = {
  'challenge of 32 bytes': { 10: bytes(32) },
  'three extensible measurements': { 44_239: cborArray(bytes(32), bytes(32), bytes(32)) },
  'extensible measurement of text': {
    44_239: cborArray(bytes(32), bytes(32), bytes(32), cborText('x')),
  },
  'profile beside a bare point': { 44_237: cborBytes(ARM.realmKey.spki.subarray(-97)) },
  'COSE_Key without profile': { 265: undefined },
  'key on another curve': { 265: undefined, 44_237: bytes(65, 4) },
  'unknown key hash': { 44_240: cborText('sha-1') },
  'unknown realm profile': { 265: cborText('x') },
}

const EXPECTED: readonly (readonly [CcaCheckCode, object])[] = [
  ['cca.challenge.mismatch', { challenge: '00'.repeat(64) }],
  ['cca.initial-measurement.mismatch', { initialMeasurement: '03'.repeat(31) }],
  ['cca.personalization-value.mismatch', { personalizationValue: [] }],
  ['cca.rem0.mismatch', { rem0: '05'.repeat(32) }],
  ['cca.rem1.mismatch', { rem1: '04'.repeat(32) }],
  ['cca.rem2.mismatch', { rem2: '04'.repeat(32) }],
  ['cca.rem3.mismatch', { rem3: '04'.repeat(32) }],
  ['cca.implementation-id.mismatch', { implementationId: '00'.repeat(32) }],
  ['cca.instance-id.mismatch', { instanceId: '01'.repeat(33) }],
  ['cca.platform-config.mismatch', { platformConfig: '0c0c0c' }],
]

const CASES: readonly Case[] = [
  ...Object.entries(malformedPlatform).map(([what, platform]): Case => ({
    code: 'cca.token.malformed',
    what,
    token: () => ARM.token({ platform }),
  })),
  ...Object.entries(malformedRealm).map(([what, realm]): Case => ({
    code: 'cca.token.malformed',
    what,
    token: () => ARM.token({ realm }),
  })),
  {
    code: 'cca.token.malformed',
    what: 'another tag',
    token: () => ccaToken(new Uint8Array(1), new Uint8Array(1), 400),
  },
  {
    code: 'cca.realm.algorithm-unsupported',
    token: () => ARM.token({ realmAlgorithm: -7 }),
  },
  {
    code: 'cca.realm.signature-invalid',
    token: () => ARM.token({ realmSigner: OTHER.realmKey.signer }),
  },
  { code: 'cca.realm.key-mismatch', token: () => ARM.token({ platform: { 10: bytes(64) } }) },
  {
    code: 'cca.realm.key-mismatch',
    what: 'digest by another algorithm',
    token: () => ARM.token({ realm: { 44_240: cborText('sha-256') } }),
  },
  {
    code: 'cca.platform.algorithm-unsupported',
    token: () => ARM.token({ platformAlgorithm: -37 }),
  },
  { code: 'cca.platform.key-missing', status: 'none', keys: [] },
  {
    code: 'cca.platform.key-missing',
    what: 'key of another implementation',
    status: 'none',
    keys: [{ publicKey: ARM.platformKey.spki, ...IDS, implementationId: '00'.repeat(32) }],
  },
  {
    code: 'cca.platform.key-missing',
    what: 'key of another instance',
    status: 'none',
    keys: [{ publicKey: ARM.platformKey.spki, ...IDS, instanceId: '01'.repeat(33) }],
  },
  { code: 'cca.platform.key-malformed', keys: [{ publicKey: Uint8Array.of(1, 2) }] },
  {
    code: 'cca.platform.key-malformed',
    what: 'empty',
    keys: [{ publicKey: new Uint8Array() }, { publicKey: ARM.platformKey.spki }],
  },
  { code: 'cca.platform.signature-invalid', keys: [{ publicKey: OTHER.platformKey.spki }] },
  {
    code: 'cca.platform.signature-invalid',
    what: 'algorithm of another curve',
    token: () => ARM.token({ platformAlgorithm: -7 }),
  },
  {
    code: 'cca.platform.not-secured',
    token: () => ARM.token({ platform: { 2395: cborInt(0x20ff) } }),
  },
  {
    code: 'cca.platform.not-secured',
    what: 'allowed',
    status: 'warning',
    token: () => ARM.token({ platform: { 2395: cborInt(0x4000) } }),
    policy: { allowUnsecuredPlatform: true },
  },
  { code: 'cca.component.not-allowed', policy: { allowedComponents: [] } },
  {
    code: 'cca.component.not-allowed',
    what: 'another signer',
    policy: {
      allowedComponents: [{ measurement: '0a'.repeat(32), signerId: '0a'.repeat(32) }],
    },
  },
  ...EXPECTED.map(([code, expect]): Case => ({ code, expect })),
]

for (const { code, what, status = 'contraindicated', token, keys, expect, policy = {} } of CASES)
  test(`${code}${what === undefined ? '' : `: ${what}`}`, async () => {
    const result = await appraiseCca(token?.() ?? ARM.token(), {
      expect: { ...ANY_CCA, ...expect },
      now: NOW,
      endorsements: { platformKeys: keys ?? [{ publicKey: ARM.platformKey.spki }] },
      policy,
    })
    assert.equal(result.status, status)
    assert.deepEqual('reasons' in result ? result.reasons : [], [code])
    seen.add(code)
  })

test('clean tokens are affirming in both forms of the realm key, under P-256 and P-384', async () => {
  for (const curve of ['P-256', 'P-384'] as const)
    for (const profile of [true, false]) {
      const arm = new FakeArm(curve)
      const publicKey = toUtf8(encodePem('PUBLIC KEY', arm.platformKey.spki))
      const allowedComponents = [{ measurement: '0A'.repeat(32), signerId: '0B'.repeat(32) }]
      const result = await appraiseCca(arm.token({ profile }), {
        expect: { ...ANY_CCA, ...IDS, challenge: '01'.repeat(64), rem3: '07'.repeat(32) },
        now: NOW,
        endorsements: {
          platformKeys: [{ publicKey: OTHER.platformKey.spki }, { publicKey, ...IDS }],
        },
        policy: { allowedComponents },
      })
      assert.equal(result.status, 'affirming', JSON.stringify(result))
    }
})

test('options of a name that nobody reads are refused, not ignored', async () => {
  const run = (options: object) =>
    appraiseCca(ARM.token(), { expect: ANY_CCA, now: NOW, ...options })
  await assert.rejects(run({ policy: { allowUnsecured: true } }), TypeError)
  await assert.rejects(run({ expect: { ...ANY_CCA, rem4: 'any' } }), TypeError)
  await assert.rejects(run({ expect: {} }), TypeError)
  await assert.rejects(run({ now: 0 }), TypeError)
  const publicKey = ARM.platformKey.spki
  const endorsements = { platformKeys: [{ publicKey, instanceId: 'x' }] }
  await assert.rejects(run({ endorsements }), RangeError)
})

test('every code of the union has a case', () => {
  assert.deepEqual(
    Object.keys(CCA_CHECKS).filter((code) => !seen.has(code)),
    [],
  )
})
