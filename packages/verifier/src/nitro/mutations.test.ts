import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FormatError } from '../bytes/format-error.ts'
import {
  cborArray,
  cborBytes,
  cborInt,
  cborMap,
  cborText,
  encodeCbor,
} from '../formats/cbor-item.ts'
import type { CborItem } from '../formats/cbor-item.ts'
import { coseHeader, encodeCoseSign1 } from '../formats/cose-sign1.ts'
import { KEY_USAGE, keyUsageExtension } from '../formats/x509-extensions.ts'
import { ANY_NITRO } from '../testing/any-expectation.ts'
import { FakeAws } from '../testing/fake-aws.ts'
import { appraiseNitro, appraiseNitroUnder } from './appraise.ts'
import { NITRO_CHECKS } from './check-codes.ts'
import type { NitroCheckCode } from './check-codes.ts'
import { parseNitroDocument } from './document.ts'
import type { NitroPolicy } from './policy.ts'

// Every rule has a case that breaks it.

const NOW = new Date('2026-06-01T00:00:00Z')
const AWS = new FakeAws()
const OTHER = new FakeAws()
const seen = new Set<string>()

interface Case {
  readonly code: NitroCheckCode
  readonly status?: 'contraindicated' | 'none' | 'warning'
  readonly what?: string
  readonly document?: () => Uint8Array
  readonly expect?: object
  readonly policy?: NitroPolicy
}

const changed = (change: Readonly<Record<string, CborItem | undefined>>) => () =>
  AWS.document(change)
const withLeaf = (options: Parameters<FakeAws['leaf']>[0]) => () =>
  AWS.document({}, AWS.leaf(options))
const pcrs = (entries: readonly (readonly [number, number, number])[]) =>
  cborMap(entries.map(([index, size, fill]) => [index, cborBytes(new Uint8Array(size).fill(fill))]))

const malformed: Readonly<Record<string, Record<string, CborItem | undefined>>> = {
  'digest of another name': { digest: cborText('SHA256') },
  'no digest': { digest: undefined },
  'empty module id': { module_id: cborText('') },
  'timestamp zero': { timestamp: cborInt(0) },
  'timestamp negative': { timestamp: cborInt(-1) },
  'timestamp beyond all dates': { timestamp: cborInt(2n ** 63n) },
  'no PCR': { pcrs: pcrs([]) },
  'PCR 32': { pcrs: pcrs([[32, 48, 1]]) },
  'PCR below 0': { pcrs: pcrs([[-1, 48, 1]]) },
  'PCR of 47 bytes': { pcrs: pcrs([[0, 47, 1]]) },
  'empty certificate': { certificate: cborBytes(new Uint8Array()) },
  'certificate too long': { certificate: cborBytes(new Uint8Array(1025)) },
  'certificate null': { certificate: { kind: 'simple', value: null } },
  'empty bundle': { cabundle: cborArray() },
  'bundle of text': { cabundle: cborArray(cborText('x')) },
  'nonce as text': { nonce: cborText('x') },
  'nonce too long': { nonce: cborBytes(new Uint8Array(1025)) },
  'unknown member': { other: cborInt(1) },
}

const CASES: readonly Case[] = [
  ...Object.entries(malformed).map(([what, change]): Case => ({
    code: 'nitro.document.malformed',
    what,
    document: changed(change),
  })),
  {
    code: 'nitro.document.algorithm-unsupported',
    document: () => AWS.document({}, AWS.leaf(), -36),
  },
  {
    code: 'nitro.document.archived',
    status: 'warning',
    policy: { judgeAtDocumentTime: true },
  },
  {
    code: 'nitro.endorsement.malformed',
    document: changed({ certificate: cborBytes(Uint8Array.of(1, 2, 3)) }),
  },
  { code: 'nitro.endorsement.untrusted-root', document: () => OTHER.document() },
  {
    code: 'nitro.endorsement.untrusted-root',
    what: 'bundle from the leaf upwards',
    document: changed({
      cabundle: cborArray(cborBytes(AWS.instance.der), cborBytes(AWS.root.der)),
    }),
  },
  {
    code: 'nitro.endorsement.name-mismatch',
    document: withLeaf({ issuerName: 'FAKE other' }),
  },
  {
    code: 'nitro.endorsement.name-mismatch',
    what: 'issuer left out',
    document: changed({ cabundle: cborArray(cborBytes(AWS.root.der)) }),
  },
  {
    code: 'nitro.endorsement.constraints',
    document: withLeaf({ extensions: [keyUsageExtension(KEY_USAGE.keyCertSign)] }),
  },
  {
    code: 'nitro.endorsement.constraints',
    what: 'critical extension that nobody understands',
    document: withLeaf({
      extensions: [
        keyUsageExtension(KEY_USAGE.digitalSignature),
        { oid: '1.2.3.4', critical: true, value: Uint8Array.of(5, 0) },
      ],
    }),
  },
  {
    code: 'nitro.endorsement.constraints',
    what: 'leaf of another curve',
    document: withLeaf({ curve: 'P-256' }),
  },
  {
    code: 'nitro.endorsement.signature-invalid',
    document: () => AWS.document({}, OTHER.leaf()),
  },
  {
    code: 'nitro.endorsement.expired',
    status: 'none',
    document: withLeaf({ notAfter: new Date('2026-05-31') }),
  },
  {
    code: 'nitro.endorsement.not-yet-valid',
    document: withLeaf({ notBefore: new Date('2026-06-02') }),
  },
  {
    code: 'nitro.signature.invalid',
    document: changed({ certificate: cborBytes(AWS.leaf().der) }),
  },
  {
    code: 'nitro.policy.debug',
    document: changed({
      pcrs: pcrs([
        [0, 48, 0],
        [1, 48, 0],
        [2, 48, 0],
        [3, 48, 1],
      ]),
    }),
  },
  {
    code: 'nitro.policy.debug',
    what: 'PCR0 to PCR2 left out',
    document: changed({ pcrs: pcrs([[3, 48, 1]]) }),
  },
  { code: 'nitro.pcr.mismatch', expect: { pcr0: new Uint8Array(48) } },
  { code: 'nitro.pcr.mismatch', what: 'absent', expect: { pcr20: new Uint8Array(48) } },
  { code: 'nitro.pcr.mismatch', what: 'none is right', expect: { pcr0: [] } },
  { code: 'nitro.nonce.mismatch', expect: { nonce: '02' } },
  { code: 'nitro.user-data.mismatch', expect: { userData: '0202' } },
  { code: 'nitro.public-key.mismatch', expect: { publicKey: '' } },
]

for (const { code, status = 'contraindicated', what, document, expect, policy = {} } of CASES)
  test(`${code}${what === undefined ? '' : `: ${what}`}`, async () => {
    const result = await appraiseNitroUnder(
      AWS.fingerprint,
      (document ?? (() => AWS.document()))(),
      {
        expect: { ...ANY_NITRO, ...expect },
        now: NOW,
        policy,
      },
    )
    assert.equal(result.status, status)
    assert.deepEqual('reasons' in result ? result.reasons : [], [code])
    seen.add(code)
  })

test('a clean document is affirming under its root, refused under the real one', async () => {
  const document = AWS.document()
  const expect = {
    ...ANY_NITRO,
    nonce: '01',
    userData: '02',
    publicKey: '03',
    pcr0: '01'.repeat(48),
  }
  const good = await appraiseNitroUnder(AWS.fingerprint, document, { expect, now: NOW })
  assert.equal(good.status, 'affirming')
  assert.deepEqual(good.anchor, { kind: 'hardware', line: 'AWS Nitro' })
  const real = await appraiseNitro(document, { expect, now: NOW })
  assert.equal(real.status, 'contraindicated')
  const policy = { partitionRoots: [AWS.fingerprint.toUpperCase()] }
  const partition = await appraiseNitro(document, { expect, now: NOW, policy })
  assert.equal(partition.status, 'affirming')
  assert.deepEqual(partition.anchor, { kind: 'configured', fingerprint: AWS.fingerprint })
})

test('parseNitroDocument() refuses other envelopes', () => {
  const payload = encodeCbor(AWS.members())
  const message = {
    tagged: false,
    protectedBytes: coseHeader(-35),
    algorithm: -35,
    unprotected: new Map(),
    payload,
    signature: new Uint8Array(96),
  }
  parseNitroDocument(encodeCoseSign1(message))
  for (const change of [
    { signature: new Uint8Array(95) },
    { payload: new Uint8Array() },
    { payload: new Uint8Array(16_385) },
    { unprotected: new Map([[1, cborInt(1)]]) },
  ])
    assert.throws(() => parseNitroDocument(encodeCoseSign1({ ...message, ...change })), FormatError)
})

test('options of a name that nobody reads are refused, not ignored', async () => {
  const document = AWS.document()
  const run = (options: object) =>
    appraiseNitro(document, { expect: ANY_NITRO, now: NOW, ...options })
  await assert.rejects(run({ policy: { allowDebug: true } }), TypeError)
  await assert.rejects(run({ expect: { ...ANY_NITRO, pcr32: 'any' } }), TypeError)
  await assert.rejects(run({ expect: { pcr0: 'any' } }), TypeError)
  await assert.rejects(run({ expect: { ...ANY_NITRO, pcr0: 'ff' } }), RangeError)
  await assert.rejects(run({ now: undefined }), TypeError)
})

test('every code of the union has a case', () => {
  assert.deepEqual(
    Object.keys(NITRO_CHECKS).filter((code) => !seen.has(code)),
    [],
  )
})
