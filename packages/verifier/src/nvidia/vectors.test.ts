import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toHex } from '../bytes/hex.ts'
import { parseCertificate } from '../formats/x509-certificate.ts'
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

test('no changed bit and no truncation is accepted', WITH_VECTORS, async () => {
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
  for (let offset = 0; offset < bytes.length; offset += 7) {
    const bit = 1 << (offset & 7)
    bytes[offset] = (bytes[offset] as number) ^ bit
    assert.equal(await statusOf(bytes), 'contraindicated', `byte ${offset}`)
    bytes[offset] = (bytes[offset] as number) ^ bit
  }
  for (let length = 0; length < bytes.length; length++)
    assert.equal(await statusOf(bytes.subarray(0, length)), 'contraindicated')
})
