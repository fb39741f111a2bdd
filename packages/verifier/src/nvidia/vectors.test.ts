import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromBase64 } from '../bytes/base64.ts'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
import { isAnsweredFor } from '../formats/ocsp-verify.ts'
import { parseOcspResponse } from '../formats/ocsp.ts'
import { parsePem } from '../formats/pem.ts'
import { WITH_VECTORS, vector } from '../testing/vectors.ts'
import { appraiseNvidia } from './appraise.ts'
import type { NvidiaAppraiseOptions } from './appraise.ts'
import { readFwid } from './fwid.ts'
import { recogniseNvidiaEvidence } from './recognise.ts'
import { parseNvidiaReport } from './report.ts'

const NOW = new Date('2026-06-01T00:00:00Z')
const H100 = 'nvidia/gpu-h100-550.90.07'
const SAMPLE = 'nvidia/gpu-h100-sample'
const LS10 = 'nvidia/switch-ls10'

function appraise(
  evidence: string | Uint8Array,
  chain?: string,
  options: Partial<NvidiaAppraiseOptions> = {},
) {
  const bytes = typeof evidence === 'string' ? vector(evidence) : evidence
  return appraiseNvidia(recogniseNvidiaEvidence(bytes), {
    expect: { nonce: 'any' },
    now: NOW,
    ...(chain !== undefined && { endorsements: { certificates: [vector(chain)] } }),
    ...options,
  })
}

function json(path: string): unknown {
  return JSON.parse(new TextDecoder().decode(vector(path)))
}

function reasons(result: { readonly status: string; readonly reasons?: readonly string[] }) {
  return [result.status, ...(result.reasons ?? [])]
}

test(
  'recorded reports of GPUs and of a switch are affirming with their chains',
  WITH_VECTORS,
  async () => {
    for (const [evidence, chain] of [
      [`${H100}/report.txt`, `${H100}/chain.pem`],
      [`${H100}/report.bin`, `${H100}/chain.pem`],
      [`${SAMPLE}/report.txt`, `${SAMPLE}/chain.pem`],
      [`${LS10}/report.txt`, `${LS10}/chain.pem`],
      ['nvidia/gpu-h100-590.12/evidence.json'],
      ['nvidia/gpu-h100-590.12/evidence-2.json'],
      [`${LS10}/evidence.json`],
    ] as const)
      assert.deepEqual(reasons(await appraise(evidence, chain)), ['affirming'], evidence)
  },
)

test(
  'altered reports and incomplete chains are refused with their reason',
  WITH_VECTORS,
  async () => {
    for (const [evidence, chain, code] of [
      [`${H100}/report.txt`, `${H100}/chain-incomplete-2.pem`, 'nvidia.endorsement.incomplete'],
      [`${H100}/report.txt`, `${H100}/chain-incomplete-3.pem`, 'nvidia.endorsement.incomplete'],
      [`${H100}/report.txt`, `${H100}/chain-incomplete-4.pem`, 'nvidia.fwid.missing'],
      [`${H100}/report.txt`, `${H100}/signing_cert.pem`, 'nvidia.endorsement.incomplete'],
      [`${SAMPLE}/report-invalid-signature.txt`, `${SAMPLE}/chain.pem`, 'nvidia.signature.invalid'],
      [`${H100}/report.txt`, `${LS10}/chain.pem`, 'nvidia.signature.invalid'],
    ] as const) {
      const [status, ...codes] = reasons(await appraise(evidence, chain))
      assert.equal(status, 'contraindicated', chain)
      assert.ok(codes.includes(code), `${chain}: ${codes.join()}`)
    }
    assert.deepEqual(reasons(await appraise(`${H100}/report.txt`)), [
      'none',
      'nvidia.endorsement.missing',
    ])
    const early = await appraise(`${H100}/report.txt`, `${H100}/chain.pem`, { now: new Date(0) })
    assert.deepEqual(reasons(early), ['contraindicated', 'nvidia.endorsement.not-yet-valid'])
  },
)

test('claims are those that another verifier reads', WITH_VECTORS, async () => {
  const result = await appraise(`${H100}/report.txt`, `${H100}/chain.pem`)
  assert.ok(result.status === 'affirming')
  const [claims] = result.claims.devices
  assert.ok(claims !== undefined)
  const expected = json(`${H100}/claims-expected.json`) as {
    readonly measurements: Record<string, string>
    readonly config: Record<string, unknown>
  }
  const { config } = expected
  assert.deepEqual(claims.measurements, expected.measurements)
  for (const [ours, theirs] of [
    ['boardId', 'board_id'],
    ['chipSku', 'chip_sku'],
    ['chipSkuMod', 'chip_sku_mod'],
    ['cprInfo', 'cpr_info'],
    ['driverVersion', 'driver_version'],
    ['fwid', 'fwid'],
    ['gpuInfo', 'gpu_info'],
    ['nvdec0Status', 'nvdec0_status'],
    ['project', 'project'],
    ['projectSku', 'project_sku'],
    ['projectSkuMod', 'project_sku_mod'],
    ['protectedPcieStatus', 'protected_pcie_status'],
    ['vbiosVersion', 'vbios_version'],
  ] as const)
    assert.equal(claims[ours], config[theirs], ours)
  const [pem] = parsePem(vector(`${H100}/signing_cert.pem`))
  assert.equal(
    toHex(readFwid(parseCertificate(pem?.der ?? new Uint8Array())) ?? new Uint8Array()),
    claims.fwid,
  )
})

test('the switch report parses as another tool parses it', WITH_VECTORS, () => {
  const [device] = recogniseNvidiaEvidence(vector(`${LS10}/report.txt`)).devices
  const report = parseNvidiaReport(device?.report ?? new Uint8Array())
  const request = json(`${LS10}/request-parsed.json`) as Record<string, string>
  const response = json(`${LS10}/response-parsed.json`) as {
    readonly Nonce: string
    readonly Signature: string
    readonly MeasurementRecord: {
      readonly MeasurementBlocks: Record<string, Record<string, string | number>>
    }
  }
  assert.equal(`0x${toHex(report.requestNonce)}`, request['Nonce'])
  assert.equal(`0x${toHex(report.responseNonce)}`, response.Nonce)
  assert.equal(`0x${toHex(report.signature)}`, response.Signature)
  const blocks = Object.entries(response.MeasurementRecord.MeasurementBlocks)
  assert.equal(report.measurements.size, blocks.length)
  for (const [index, block] of blocks) {
    const measurement = report.measurements.get(Number(index))
    assert.equal(measurement?.type, block['DMTFSpecMeasurementValueType'])
    assert.equal(
      `0x${toHex(measurement?.value ?? new Uint8Array())}`,
      block['DMTFSpecMeasurementValue'],
    )
  }
})

test('nonce, measurements and versions are compared', WITH_VECTORS, async () => {
  const nonce = '931d8dd0add203ac3d8b4fbde75e115278eefcdceac5b87671a748f32364dfcb'
  const run = (expect: NvidiaAppraiseOptions['expect'], policy = {}) =>
    appraise(`${H100}/report.txt`, `${H100}/chain.pem`, { expect, policy })
  const { measurements } = json(`${H100}/claims-expected.json`) as {
    readonly measurements: Record<string, string>
  }
  const versions = { allowedDrivers: ['550.90.07'], allowedVbios: ['96.00.9f.00.01'] }
  const good = await run({ nonce, measurement7: measurements['7'] ?? '' }, versions)
  assert.equal(good.status, 'affirming')
  for (const [expect, policy, code] of [
    [{ nonce: '00'.repeat(32) }, {}, 'nvidia.nonce.mismatch'],
    [{ nonce, measurement7: '00'.repeat(48) }, {}, 'nvidia.measurement.mismatch'],
    [{ nonce, measurement65: '00'.repeat(48) }, {}, 'nvidia.measurement.mismatch'],
    [{ nonce }, { allowedDrivers: [] }, 'nvidia.driver.not-allowed'],
    [{ nonce }, { allowedVbios: ['96.00.9f.00.02'] }, 'nvidia.vbios.not-allowed'],
  ] as const)
    assert.deepEqual(reasons(await run(expect, policy)), ['contraindicated', code])
})

test('zero bytes may follow a report, nothing else', WITH_VECTORS, async () => {
  const report = vector(`${H100}/report.bin`)
  const padded = (byte: number) => appraise(Uint8Array.of(...report, byte), `${H100}/chain.pem`)
  assert.equal((await padded(0)).status, 'affirming')
  assert.deepEqual(reasons(await padded(1)), ['contraindicated', 'nvidia.report.malformed'])
})

test('one bad device spoils all', WITH_VECTORS, async () => {
  const [good] = recogniseNvidiaEvidence(vector('nvidia/gpu-h100-590.12/evidence.json')).devices
  assert.ok(good !== undefined)
  const report = good.report.slice()
  report[60] = (report[60] as number) ^ 1
  const options = { expect: { nonce: 'any' }, now: NOW } as const
  const both = await appraiseNvidia({ devices: [good, good] }, options)
  assert.equal(both.status, 'affirming')
  const spoiled = await appraiseNvidia({ devices: [good, { ...good, report }] }, options)
  assert.deepEqual(reasons(spoiled), ['contraindicated', 'nvidia.signature.invalid'])
  assert.deepEqual(reasons(await appraiseNvidia({ devices: [] }, options)), [
    'contraindicated',
    'nvidia.evidence.empty',
  ])
})

test('no truncation is accepted', WITH_VECTORS, async () => {
  const report = vector(`${LS10}/report.txt`)
  const [device] = recogniseNvidiaEvidence(report).devices
  const bytes = (device?.report ?? new Uint8Array()).slice()
  const certificates = [vector(`${LS10}/chain.pem`)]
  const statusOf = async (input: Uint8Array) =>
    (
      await appraiseNvidia(input, {
        expect: { nonce: 'any' },
        now: NOW,
        endorsements: { certificates },
      })
    ).status
  assert.equal(await statusOf(bytes), 'affirming')
  for (let length = 0; length < bytes.length; length++)
    assert.equal(await statusOf(bytes.subarray(0, length)), 'contraindicated')
})

const GOLDEN = ['nvidia/rim/driver_GH100_550.90.07.xml', 'nvidia/rim/vbios_96009F0001.xml'] as const

test(
  "a recorded report has the measurements of NVIDIA's manifests for its driver and VBIOS, and a certificate that NVIDIA answered for",
  WITH_VECTORS,
  async () => {
    const answer = vector('nvidia/ocsp/test_gpu_certificate_l2_base64encoded_ocsp_response.dat')
    const ocspResponses = [fromBase64(new TextDecoder().decode(answer).trim())]
    const certificates = [vector(`${H100}/chain.pem`)]
    const at = (now: string, manifests: readonly Uint8Array[] = GOLDEN.map(vector)) =>
      appraise(`${H100}/report.bin`, undefined, {
        now: new Date(now),
        endorsements: { certificates, manifests, ocspResponses },
        policy: { requireManifests: true },
      })
    const good = await at('2025-08-21T12:00:00Z')
    assert.deepEqual(reasons(good), ['affirming'])
    const passed = (code: string) =>
      good.checks.filter((check) => check.code === code && check.outcome === 'pass')
    assert.equal(passed('nvidia.manifest.measurement-mismatch')[0]?.received, '32 measurements')
    assert.equal(passed('nvidia.revocation.revoked')[0]?.where, 'NVIDIA GH100 Identity')
    assert.deepEqual(reasons(await at('2025-08-23T12:00:00Z')), [
      'none',
      'nvidia.revocation.expired',
    ])
    const other = [vector('nvidia/rim/driver_GH100_550.144.03.xml'), vector(GOLDEN[1])]
    assert.deepEqual(reasons(await at('2025-08-21T12:00:00Z', other)), [
      'none',
      'nvidia.manifest.missing',
    ])
    const bad = [
      ...GOLDEN.map(vector),
      vector('nvidia/rim/driver_GH100_550.144.03_bad_signature.xml'),
    ]
    assert.deepEqual(reasons(await at('2025-08-21T12:00:00Z', bad)), [
      'contraindicated',
      'nvidia.manifest.signature-invalid',
    ])
  },
)

test(
  'recorded OCSP responses are signed by a responder of the root, and of nobody else',
  WITH_VECTORS,
  async () => {
    for (const [name, own, foreign] of [
      ['gpu_certificate', 'device_root', 'rim_root'],
      ['gpu_rim', 'rim_root', 'device_root'],
    ] as const) {
      const text = vector(`nvidia/ocsp/test_${name}_l2_base64encoded_ocsp_response.dat`)
      const der = fromBase64(new TextDecoder().decode(text).trim())
      const response = parseOcspResponse(der)
      const root = (file: string) => {
        const [block] = parsePem(vector(`nvidia/roots/${file}.pem`))
        return parseCertificate(block?.der ?? new Uint8Array())
      }
      assert.equal(await isAnsweredFor(response, root(own)), true, name)
      assert.equal(await isAnsweredFor(response, root(foreign)), false, name)
      for (let length = 0; length < der.length; length++)
        assert.throws(() => parseOcspResponse(der.subarray(0, length)), FormatError)
    }
  },
)
