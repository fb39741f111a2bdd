import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toBase64 } from '../bytes/base64.ts'
import { toUtf8 } from '../bytes/text.ts'
import { FakeIbm, fakeSeEvidence } from '../testing/fake-ibm.ts'
import type { FakeIbmOptions } from '../testing/fake-ibm.ts'
import {
  KEY_USAGE,
  basicConstraintsExtension,
  keyUsageExtension,
} from '../formats/x509-extensions.ts'
import { appraiseSe } from './appraise.ts'
import type { SeAppraiseOptions } from './appraise.ts'
import { SE_CHECKS } from './check-codes.ts'
import type { SeCheckCode } from './check-codes.ts'
import type { SeEvidence } from './evidence.ts'

// Every rule has a case that breaks it.

const NOW = new Date('2026-06-01T00:00:00Z')
const IBM = new FakeIbm()
const OTHER = new FakeIbm()
const KEY = new Uint8Array(64).fill(0x41)
const NONCE = new Uint8Array(16).fill(0x42)
const EVIDENCE = fakeSeEvidence(KEY, NONCE)
const ANY = { imageHeaderTags: 'any', userData: 'any' } as const
const seen = new Set<string>()

interface Case {
  readonly code: SeCheckCode
  readonly what?: string
  readonly status?: 'contraindicated' | 'none'
  readonly evidence?: Uint8Array | Partial<SeEvidence>
  readonly expect?: object
  readonly maker?: FakeIbmOptions
  readonly certificates?: readonly Uint8Array[]
  readonly lists?: (ibm: FakeIbm) => readonly Uint8Array[]
  readonly options?: Partial<SeAppraiseOptions>
}

function json(change: Readonly<Record<string, unknown>> = {}): Uint8Array {
  return toUtf8(
    JSON.stringify({
      measurement: toBase64(EVIDENCE.measurement),
      additional_data: toBase64(EVIDENCE.additionalData),
      user_data: toBase64(EVIDENCE.userData),
      cuid: toBase64(EVIDENCE.cuid),
      image_hdr_tags: toBase64(EVIDENCE.imageHeaderTags),
      encr_measurement_key: '',
      encr_request_nonce: '',
      ...change,
    }),
  )
}

const malformed: Readonly<Record<string, Uint8Array | Partial<SeEvidence>>> = {
  'no JSON': toUtf8('x'),
  'not UTF-8': Uint8Array.of(0xff),
  'no object': toUtf8('[]'),
  'a member missing': json({ cuid: undefined }),
  'a member no text': json({ cuid: 1 }),
  'a member no base64': json({ cuid: '?' }),
  'measurement of 63 bytes': { measurement: new Uint8Array(63) },
  'cuid of 17 bytes': { cuid: new Uint8Array(17) },
  'tags of 207 bytes': { imageHeaderTags: new Uint8Array(207) },
  'user data of 257 bytes': { userData: new Uint8Array(257) },
  'additional data too long': { additionalData: new Uint8Array(32_769) },
}

const CASES: readonly Case[] = [
  ...Object.entries(malformed).map(([what, evidence]): Case => ({
    code: 'se.evidence.malformed',
    what,
    evidence,
  })),
  { code: 'se.measurement.invalid', options: { measurementKey: new Uint8Array(64) } },
  { code: 'se.measurement.invalid', what: 'nonce', options: { requestNonce: new Uint8Array(16) } },
  { code: 'se.measurement.invalid', what: 'user data', evidence: { userData: new Uint8Array(64) } },
  { code: 'se.host-key.missing', status: 'none', certificates: [IBM.root.der] },
  { code: 'se.host-key.unsupported', maker: { hostKeyCurve: 'P-256' } },
  { code: 'se.endorsement.malformed', certificates: [Uint8Array.of(1)] },
  { code: 'se.endorsement.incomplete', certificates: [IBM.hostKeyDocument, IBM.signer.der] },
  {
    code: 'se.endorsement.untrusted-root',
    certificates: OTHER.certificates,
    lists: () => OTHER.lists(),
  },
  {
    code: 'se.endorsement.untrusted-root',
    what: 'no root is trusted unless named',
    options: { policy: {} },
  },
  {
    code: 'se.endorsement.constraints',
    maker: {
      signerExtensions: [
        basicConstraintsExtension(true),
        keyUsageExtension(KEY_USAGE.digitalSignature),
      ],
    },
  },
  {
    code: 'se.endorsement.signature-invalid',
    certificates: [OTHER.hostKeyDocument, IBM.signer.der, IBM.intermediate.der, IBM.root.der],
  },
  {
    code: 'se.endorsement.expired',
    status: 'none',
    maker: { notAfter: new Date('2026-05-01') },
  },
  { code: 'se.endorsement.not-yet-valid', maker: { notBefore: new Date('2026-07-01') } },
  { code: 'se.revocation.malformed', lists: () => [Uint8Array.of(1)] },
  { code: 'se.revocation.missing', status: 'none', lists: () => [] },
  {
    code: 'se.revocation.signature-invalid',
    lists: (ibm) => ibm.lists([], { by: OTHER.root.signer }),
  },
  {
    code: 'se.revocation.expired',
    status: 'none',
    lists: (ibm) => ibm.lists([], { nextUpdate: new Date('2026-05-31') }),
  },
  {
    code: 'se.revocation.not-yet-valid',
    lists: (ibm) => ibm.lists([], { thisUpdate: new Date('2026-06-02') }),
  },
  { code: 'se.revocation.revoked', lists: (ibm) => ibm.lists([1]) },
  { code: 'se.image-header-tags.mismatch', expect: { imageHeaderTags: '00'.repeat(208) } },
  { code: 'se.user-data.mismatch', expect: { userData: '03'.repeat(63) } },
  { code: 'se.cuid.mismatch', expect: { cuid: [] } },
  { code: 'se.image-phkh.mismatch', expect: { imagePhkh: '00'.repeat(32) } },
  { code: 'se.attestation-phkh.mismatch', expect: { attestationPhkh: '00'.repeat(32) } },
]

for (const one of CASES)
  test(`${one.code}${one.what === undefined ? '' : `: ${one.what}`}`, async () => {
    const { code, status = 'contraindicated', evidence = {}, maker } = one
    const ibm = maker === undefined ? IBM : new FakeIbm(maker)
    const given = evidence instanceof Uint8Array ? evidence : { ...EVIDENCE, ...evidence }
    const result = await appraiseSe(given, {
      expect: { ...ANY, ...one.expect },
      now: NOW,
      measurementKey: KEY,
      requestNonce: NONCE,
      endorsements: {
        certificates: one.certificates ?? ibm.certificates,
        revocationLists: one.lists?.(ibm) ?? ibm.lists(),
      },
      policy: { trustedRoots: [ibm.fingerprint] },
      ...one.options,
    })
    assert.equal(result.status, status)
    assert.deepEqual('reasons' in result ? result.reasons : [], [code])
    seen.add(code)
  })

test('a signing certificate of another name is not IBM’s', async () => {
  // The host key document names the service, so such a certificate is not even its issuer.
  const ibm = new FakeIbm({ signerName: 'FAKE other service' })
  const result = await appraiseSe(EVIDENCE, {
    expect: ANY,
    now: NOW,
    measurementKey: KEY,
    requestNonce: NONCE,
    endorsements: { certificates: ibm.certificates, revocationLists: ibm.lists() },
    policy: { trustedRoots: [ibm.fingerprint] },
  })
  assert.equal(result.status, 'contraindicated')
  assert.ok('reasons' in result && result.reasons.includes('se.endorsement.incomplete'))
})

test('clean evidence is affirming, from JSON too, with lists or by leave without', async () => {
  const expect = {
    imageHeaderTags: '01'.repeat(208),
    userData: '03'.repeat(64),
    cuid: '02'.repeat(16),
    imagePhkh: '04'.repeat(32),
    attestationPhkh: '04'.repeat(32),
  }
  const options = { expect, now: NOW, measurementKey: KEY, requestNonce: NONCE }
  const { certificates } = IBM
  const trustedRoots = [IBM.fingerprint.toUpperCase()]
  for (const evidence of [EVIDENCE, json()]) {
    const result = await appraiseSe(evidence, {
      ...options,
      endorsements: { certificates, revocationLists: IBM.lists([7]) },
      policy: { trustedRoots },
    })
    assert.equal(result.status, 'affirming', JSON.stringify(result))
    const without = await appraiseSe(evidence, {
      ...options,
      endorsements: { certificates },
      policy: { trustedRoots, allowMissingRevocationLists: true },
    })
    assert.equal(without.status, 'affirming')
  }
})

test('mistakes of the caller are thrown', async () => {
  const run = (options: object) =>
    appraiseSe(EVIDENCE, { expect: ANY, now: NOW, measurementKey: KEY, ...options })
  await assert.rejects(run({ measurementKey: undefined }), TypeError)
  await assert.rejects(run({ measurementKey: new Uint8Array(32) }), RangeError)
  await assert.rejects(run({ requestNonce: new Uint8Array(15) }), RangeError)
  await assert.rejects(run({ expect: { imageHeaderTags: 'any' } }), TypeError)
  await assert.rejects(run({ policy: { trustedRoot: [] } }), TypeError)
})

test('every code of the union has a case', () => {
  assert.deepEqual(
    Object.keys(SE_CHECKS).filter((code) => !seen.has(code)),
    [],
  )
})
