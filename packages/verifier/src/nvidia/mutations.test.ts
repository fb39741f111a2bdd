import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FormatError } from '../bytes/format-error.ts'
import { toUtf8 } from '../bytes/text.ts'
import { basicConstraintsExtension } from '../formats/x509-extensions.ts'
import { KEY_USAGE, keyUsageExtension } from '../formats/x509-extensions.ts'
import {
  FAKE_FWID,
  FakeNvidia,
  fakeReport,
  fwidExtension,
  OCSP_STATUS,
  fakeManifest,
  fakeOcspResponse,
} from '../testing/fake-nvidia.ts'
import type {
  FakeDeviceOptions,
  FakeManifestOptions,
  FakeOcspOptions,
} from '../testing/fake-nvidia.ts'
import { appraiseNvidia, appraiseNvidiaUnder } from './appraise.ts'
import type { NvidiaEndorsements } from './appraise.ts'
import { parseReferenceManifest } from './manifest.ts'
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
  readonly status?: 'contraindicated' | 'none' | 'warning'
  readonly evidence?: () => NvidiaEvidence
  readonly expect?: object
  readonly policy?: NvidiaPolicy
  readonly endorsements?: () => NvidiaEndorsements | Promise<NvidiaEndorsements>
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

const SIXES = '06'.repeat(48)
const VERSIONS = { 20: FAKE_FWID, 3: toUtf8('1.2\0'), 6: toUtf8('96.10') }

const driver = (options: FakeManifestOptions = {}) =>
  fakeManifest(MAKER, '1.2', [{ index: 0, hashes: ['00'.repeat(48), SIXES] }], options)
const vbios = () => fakeManifest(MAKER, '96.10', [{ index: 0, hashes: [SIXES], active: false }])

function manifestCase(code: NvidiaCheckCode, manifests: () => readonly Uint8Array[]): Case {
  const evidence = () => one(fakeReport(DEVICE, VERSIONS))
  return { code, evidence, endorsements: () => ({ manifests: manifests() }) }
}

/** The text with one part replaced, and as many characters after it left out. */
function altered(bytes: Uint8Array, from: string, to: string, dropped = 0): Uint8Array {
  const text = new TextDecoder().decode(bytes)
  const at = text.indexOf(from)
  return toUtf8(text.slice(0, at) + to + text.slice(at + from.length + dropped))
}

const ocsp = (options: FakeOcspOptions = {}) =>
  fakeOcspResponse(MAKER.issuer.der, MAKER.root, options)

function ocspCase(
  code: NvidiaCheckCode,
  response: (() => Promise<Uint8Array>) | readonly Uint8Array[],
  what?: string,
): Case {
  const endorsements = async () => ({
    ocspResponses: typeof response === 'function' ? [await response()] : response,
  })
  return { code, endorsements, ...(what !== undefined && { what }) }
}

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
  { code: 'nvidia.revocation.missing', status: 'none', policy: { requireRevocationStatus: true } },
  ocspCase('nvidia.revocation.malformed', [Uint8Array.of(0x30, 3, 0x0a, 1, 1)]),
  ocspCase('nvidia.revocation.malformed', [new Uint8Array()], 'empty'),
  ocspCase('nvidia.revocation.signature-invalid', async () => {
    const response = await ocsp()
    response[response.length - 1] = (response.at(-1) ?? 0) ^ 1
    return response
  }),
  ocspCase(
    'nvidia.revocation.signature-invalid',
    () => ocsp({ responder: OTHER.responder(OTHER.root) }),
    'a responder of somebody else',
  ),
  ocspCase(
    'nvidia.revocation.signature-invalid',
    () => ocsp({ responder: MAKER.responder(MAKER.root, { extensions: () => [SIGNS] }) }),
    'a certificate that is no responder',
  ),
  ocspCase(
    'nvidia.revocation.signature-invalid',
    () => ocsp({ responder: MAKER.responder(MAKER.root, { notAfter: new Date('2026-05-01') }) }),
    'a responder out of date',
  ),
  ocspCase('nvidia.revocation.not-yet-valid', () =>
    ocsp({ thisUpdate: new Date('2026-06-01T01:00:00Z') }),
  ),
  {
    ...ocspCase('nvidia.revocation.expired', () =>
      ocsp({ nextUpdate: new Date('2026-05-31T12:00:00Z') }),
    ),
    status: 'none',
  },
  {
    ...ocspCase('nvidia.revocation.expired', () => ocsp({ nextUpdate: null }), 'no end'),
    status: 'none',
  },
  ocspCase('nvidia.revocation.revoked', () => ocsp({ status: OCSP_STATUS.revoked(1) })),
  ocspCase('nvidia.revocation.revoked', () => ocsp({ status: OCSP_STATUS.revoked() }), 'no reason'),
  ocspCase('nvidia.revocation.on-hold', () => ocsp({ status: OCSP_STATUS.revoked(6) })),
  {
    ...ocspCase(
      'nvidia.revocation.on-hold',
      () => ocsp({ status: OCSP_STATUS.revoked(6) }),
      'allowed',
    ),
    status: 'warning',
    policy: { allowCertificateHold: true },
  },
  ocspCase('nvidia.revocation.unknown', () => ocsp({ status: OCSP_STATUS.unknown })),
  { code: 'nvidia.manifest.missing', status: 'none', policy: { requireManifests: true } },
  {
    ...manifestCase('nvidia.manifest.missing', () => [driver()]),
    status: 'none',
    what: 'of the VBIOS',
  },
  {
    ...manifestCase('nvidia.manifest.missing', () => [driver({ product: 'FAKE2' }), vbios()]),
    status: 'none',
    what: 'of this product',
  },
  manifestCase('nvidia.manifest.malformed', () => [driver(), vbios(), toUtf8('<a/>')]),
  manifestCase('nvidia.manifest.untrusted-root', () => [
    driver(),
    vbios(),
    fakeManifest(OTHER, '9.9', [{ index: 1, hashes: [SIXES] }]),
  ]),
  manifestCase('nvidia.manifest.signature-invalid', () => [
    driver(),
    vbios(),
    altered(driver(), 'product="FAKE1"', 'product="FAKE3"'),
  ]),
  {
    ...manifestCase('nvidia.manifest.signature-invalid', () => [
      driver(),
      vbios(),
      altered(driver(), '<ds:SignatureValue>', '<ds:SignatureValue>AAAA', 4),
    ]),
    what: 'value',
  },
  {
    ...manifestCase('nvidia.manifest.signature-invalid', () => [
      driver(),
      vbios(),
      driver({ certificates: [DEVICE.der, MAKER.issuer.der, MAKER.root.der] }),
    ]),
    what: 'another signer than the certificate',
  },
  {
    ...manifestCase('nvidia.manifest.expired', () => [
      driver({ signer: MAKER.signer({ notAfter: new Date('2026-05-01') }) }),
      vbios(),
    ]),
    status: 'none',
  },
  manifestCase('nvidia.manifest.not-yet-valid', () => [
    driver({ signer: MAKER.signer({ notBefore: new Date('2026-07-01') }) }),
    vbios(),
  ]),
  manifestCase('nvidia.manifest.conflict', () => [
    driver(),
    fakeManifest(MAKER, '96.10', [{ index: 0, hashes: [SIXES] }]),
  ]),
  manifestCase('nvidia.manifest.measurement-mismatch', () => [
    fakeManifest(MAKER, '1.2', [{ index: 0, hashes: ['00'.repeat(48), '07'.repeat(48)] }]),
    vbios(),
  ]),
  {
    ...manifestCase('nvidia.manifest.measurement-mismatch', () => [
      driver(),
      fakeManifest(MAKER, '96.10', [{ index: 9, hashes: [SIXES] }]),
    ]),
    what: 'absent',
  },
  { code: 'nvidia.driver.not-allowed', policy: { allowedDrivers: ['1'] } },
  { code: 'nvidia.vbios.not-allowed', policy: { allowedVbios: [] } },
]

for (const { code, what, status = 'contraindicated', ...given } of CASES)
  test(`${code}${what === undefined ? '' : `: ${what}`}`, async () => {
    const { evidence, expect, policy = {}, endorsements } = given
    const result = await appraiseNvidiaUnder(MAKER.roots, (evidence ?? clean)(), {
      expect: { nonce: 'any', ...expect },
      now: NOW,
      policy,
      ...(endorsements !== undefined && { endorsements: await endorsements() }),
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
    const good = await appraiseNvidiaUnder(MAKER.roots, evidence, {
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

test('with manifests that fit and an answer for each certificate, all that a policy can demand holds', async () => {
  const signer = MAKER.signer()
  const manifests = [
    fakeManifest(MAKER, '1.2', [{ index: 0, hashes: ['00'.repeat(48)] }], { product: 'FAKE2' }),
    driver({ signer }),
    fakeManifest(MAKER, '96.10', [{ index: 0, hashes: [SIXES], active: false }], { signer }),
    // Of another VBIOS with the same version.
    fakeManifest(MAKER, '96.10', [{ index: 5, hashes: [SIXES] }], { signer }),
  ]
  const others = manifests.flatMap(
    (manifest) => parseReferenceManifest(manifest).signature?.certificates.slice(0, 1) ?? [],
  )
  const ocspResponses = await Promise.all([
    ocsp(),
    ocsp({ responder: MAKER.responder(MAKER.root) }),
    ...others.map(({ raw }) => fakeOcspResponse(raw, MAKER.issuer)),
  ])
  const good = await appraiseNvidiaUnder(MAKER.roots, one(fakeReport(DEVICE, VERSIONS)), {
    expect: { nonce: '07'.repeat(32) },
    now: NOW,
    endorsements: { manifests, ocspResponses },
    policy: { requireManifests: true, requireRevocationStatus: true },
  })
  assert.equal(
    good.status,
    'affirming',
    JSON.stringify(good.checks.filter((c) => c.outcome !== 'pass')),
  )
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
