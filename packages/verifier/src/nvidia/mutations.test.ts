import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FormatError } from '../bytes/format-error.ts'
import { toUtf8 } from '../bytes/text.ts'
import { basicConstraintsExtension } from '../formats/x509-extensions.ts'
import { KEY_USAGE, keyUsageExtension } from '../formats/x509-extensions.ts'
import { FAKE_FWID, FakeNvidia, fakeReport, fwidExtension } from '../testing/fake-nvidia.ts'
import type { FakeDeviceOptions } from '../testing/fake-nvidia.ts'
import { appraiseNvidia, appraiseNvidiaUnder } from './appraise.ts'
import { NVIDIA_CHECKS } from './check-codes.ts'
import type { NvidiaCheckCode } from './check-codes.ts'
import type { NvidiaEvidence } from './evidence.ts'
import { vbiosVersion } from './opaque-data.ts'
import type { NvidiaPolicy } from './policy.ts'
import { recogniseNvidiaEvidence } from './recognise.ts'

// Every rule has a case that breaks it.

const NOW = new Date('2026-06-01T00:00:00Z')
const MAKER = new FakeNvidia()
const OTHER = new FakeNvidia()
const DEVICE = MAKER.device()
const SIGNS = keyUsageExtension(KEY_USAGE.digitalSignature)
const seen = new Set<string>()

interface Case {
  readonly code: NvidiaCheckCode
  readonly what?: string
  readonly status?: 'contraindicated' | 'none'
  readonly evidence?: () => NvidiaEvidence
  readonly expect?: object
  readonly policy?: NvidiaPolicy
}

function one(report: Uint8Array, certificates = MAKER.certificates(DEVICE)): NvidiaEvidence {
  return { devices: [{ report, certificates }] }
}

const clean = () => one(fakeReport(DEVICE))

/** The clean report with one byte changed. */
const changed = (offset: number, value: number) => () => {
  const report = fakeReport(DEVICE)
  report[offset] = value
  return one(report)
}

const device = (options: FakeDeviceOptions) => () => {
  const made = MAKER.device(options)
  return one(fakeReport(made), MAKER.certificates(made))
}

const malformed: readonly (readonly [string, number, number])[] = [
  ['request version', 0, 0x12],
  ['request code', 1, 0xe1],
  ['request without signature', 2, 0],
  ['request for one measurement', 3, 1],
  ['slot out of range', 36, 8],
  ['response version', 37, 0x12],
  ['response code', 38, 0x7f],
  ['no block', 41, 0],
  ['two blocks', 41, 2],
  ['255 blocks', 41, 255],
  ['record length 0', 42, 0],
  ['record length 255', 42, 255],
  ['record length with its highest byte', 44, 255],
  ['index 0', 45, 0],
  ['specification 0', 46, 0],
  ['block size', 47, 50],
  ['value size', 50, 47],
  ['opaque length 0', 132, 0],
  ['opaque length 255', 132, 255],
  ['opaque size 0', 136, 0],
  ['opaque size 47', 136, 47],
]

const CASES: readonly Case[] = [
  { code: 'nvidia.evidence.empty', evidence: () => ({ devices: [] }) },
  {
    code: 'nvidia.evidence.empty',
    what: 'too many',
    evidence: () => ({ devices: Array.from({ length: 65 }, () => ({ report: new Uint8Array() })) }),
  },
  ...malformed.map(([what, offset, value]): Case => ({
    code: 'nvidia.report.malformed',
    what,
    evidence: changed(offset, value),
  })),
  {
    code: 'nvidia.report.malformed',
    what: 'padding without end',
    evidence: () => one(Uint8Array.of(...fakeReport(DEVICE), ...new Uint8Array(65))),
  },
  {
    code: 'nvidia.endorsement.missing',
    status: 'none',
    evidence: () => one(fakeReport(DEVICE), []),
  },
  {
    code: 'nvidia.endorsement.malformed',
    evidence: () => one(fakeReport(DEVICE), [Uint8Array.of(1, 2)]),
  },
  {
    code: 'nvidia.endorsement.malformed',
    what: 'firmware id',
    evidence: device({
      extensions: () => [
        SIGNS,
        { oid: '2.23.133.5.4.1', critical: false, value: new Uint8Array(48) },
      ],
    }),
  },
  {
    code: 'nvidia.endorsement.incomplete',
    evidence: () => one(fakeReport(DEVICE), [DEVICE.der, MAKER.root.der]),
  },
  {
    code: 'nvidia.endorsement.untrusted-root',
    evidence: () => {
      const foreign = OTHER.device()
      return one(fakeReport(foreign), OTHER.certificates(foreign))
    },
  },
  {
    code: 'nvidia.endorsement.constraints',
    evidence: device({
      extensions: (spki) => [
        basicConstraintsExtension(true),
        SIGNS,
        fwidExtension(FAKE_FWID, spki),
      ],
    }),
  },
  {
    code: 'nvidia.endorsement.signature-invalid',
    evidence: () => one(fakeReport(DEVICE), [DEVICE.der, OTHER.issuer.der, MAKER.root.der]),
  },
  {
    code: 'nvidia.endorsement.expired',
    status: 'none',
    evidence: device({ notAfter: new Date('2026-05-01') }),
  },
  {
    code: 'nvidia.endorsement.not-yet-valid',
    evidence: device({ notBefore: new Date('2026-07-01') }),
  },
  { code: 'nvidia.signature.invalid', evidence: changed(60, 0) },
  { code: 'nvidia.fwid.missing', evidence: device({ extensions: () => [SIGNS] }) },
  {
    code: 'nvidia.fwid.mismatch',
    evidence: () => one(fakeReport(DEVICE, { 20: new Uint8Array(48) })),
  },
  { code: 'nvidia.nonce.mismatch', expect: { nonce: '00'.repeat(32) } },
  { code: 'nvidia.measurement.mismatch', expect: { measurement1: [] } },
  {
    code: 'nvidia.measurement.mismatch',
    what: 'absent',
    expect: { measurement2: '00'.repeat(48) },
  },
  { code: 'nvidia.driver.not-allowed', policy: { allowedDrivers: ['1'] } },
  { code: 'nvidia.vbios.not-allowed', policy: { allowedVbios: [] } },
]

for (const { code, what, status = 'contraindicated', evidence, expect, policy = {} } of CASES)
  test(`${code}${what === undefined ? '' : `: ${what}`}`, async () => {
    const result = await appraiseNvidiaUnder(MAKER.fingerprint, (evidence ?? clean)(), {
      expect: { nonce: 'any', ...expect },
      now: NOW,
      policy,
    })
    assert.equal(result.status, status)
    assert.deepEqual('reasons' in result ? result.reasons : [], [code])
    seen.add(code)
  })

test('clean reports are affirming under their root, refused under the real one', async () => {
  const expect = { nonce: '07'.repeat(32), measurement1: '06'.repeat(48) }
  for (const form of ['hopper', 'blackwell']) {
    const made = MAKER.device({
      extensions: (spki) => [SIGNS, fwidExtension(FAKE_FWID, spki, form)],
    })
    const opaque = { 20: FAKE_FWID, 3: toUtf8('1.2\0'), 6: toUtf8('96.10') }
    const evidence = one(fakeReport(made, opaque), MAKER.certificates(made))
    const policy = { allowedDrivers: ['1.2'], allowedVbios: ['96.10'] }
    const good = await appraiseNvidiaUnder(MAKER.fingerprint, evidence, {
      expect,
      now: NOW,
      policy,
    })
    assert.equal(good.status, 'affirming', form)
    // That nobody asked for revocation always shows.
    const revocation = good.checks.find(({ code }) => code === 'nvidia.revocation.missing')
    assert.equal(revocation?.outcome, 'not-checked')
    seen.add('nvidia.revocation.missing')
    const real = await appraiseNvidia(evidence, { expect, now: NOW })
    assert.equal(real.status, 'contraindicated')
  }
  assert.equal(vbiosVersion(new Map()), null)
})

test('recogniseNvidiaEvidence() refuses other shapes', () => {
  for (const text of [
    '[]',
    '{}',
    '[',
    '[{}]',
    '[{"evidence":1,"certificate":""}]',
    '{"device_evidence_list":[{"evidence":"11e0zz","certificate":""}]}',
    'zz',
  ])
    assert.throws(() => recogniseNvidiaEvidence(toUtf8(text)), FormatError, text)
  const wrapped = '{"device_evidence_list":[{"evidence":"11e0","certificate":"","uuid":"u"}]}'
  const [found] = recogniseNvidiaEvidence(toUtf8(wrapped)).devices
  assert.equal(found?.uuid, 'u')
})

test('options of a name that nobody reads are refused, not ignored', async () => {
  const run = (options: object) =>
    appraiseNvidia(clean(), { expect: { nonce: 'any' }, now: NOW, ...options })
  await assert.rejects(run({ expect: {} }), TypeError)
  await assert.rejects(run({ expect: { nonce: 'any', measurement0: 'any' } }), TypeError)
  await assert.rejects(run({ policy: { allowedDriver: [] } }), TypeError)
  await assert.rejects(run({ expect: undefined }), TypeError)
})

test('every code of the union has a case', () => {
  assert.deepEqual(
    Object.keys(NVIDIA_CHECKS).filter((code) => !seen.has(code)),
    [],
  )
})
