import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FormatError } from '../bytes/format-error.ts'
import { toHex } from '../bytes/hex.ts'
import { WITH_VECTORS, vector } from '../testing/vectors.ts'
import { encodeSnpEvidenceJson, parseSnpEvidenceJson } from './evidence-json.ts'
import { recogniseSnpEvidence } from './recognise.ts'
import { encodeSnpReport, parseSnpReport } from './report.ts'

const REPORTS = [
  'snp/genoa-v5/report.bin',
  'snp/milan-v2-azure/report.bin',
  'snp/milan-v2-debug/report.bin',
  'snp/milan-v3-vlek/report.bin',
]

test('reports encode back to the same bytes, directly and through JSON', WITH_VECTORS, () => {
  for (const path of REPORTS) {
    const report = vector(path)
    assert.equal(toHex(encodeSnpReport(parseSnpReport(report))), toHex(report), path)
    const certificates = [vector('snp/genoa-v5/vcek.der'), vector('roots/amd-ark-genoa.der')]
    const text = JSON.stringify(encodeSnpEvidenceJson({ report, certificates }))
    const back = parseSnpEvidenceJson(text)
    assert.equal(toHex(back.report), toHex(report), path)
    assert.deepEqual(back.certificates?.map(toHex), certificates.map(toHex))
    assert.equal(toHex(parseSnpEvidenceJson(JSON.parse(text)).report), toHex(report))
  }
})

test('recogniseSnpEvidence() reads raw, hex, base64 and both JSON forms', WITH_VECTORS, () => {
  const report = vector('snp/genoa-v5/report.bin')
  const encode = (text: string) => new TextEncoder().encode(text)
  const json = JSON.stringify(encodeSnpEvidenceJson({ report }))
  for (const form of [
    report,
    encode(`${toHex(report)}\n`),
    encode(Buffer.from(report).toString('base64')),
    encode(json),
  ])
    assert.equal(toHex(recogniseSnpEvidence(form).report), toHex(report))
  // The recorded file wraps another report of the same chip.
  const wrapped = recogniseSnpEvidence(vector('snp/genoa-v5/evidence.json'))
  const chip = (bytes: Uint8Array) => toHex(parseSnpReport(bytes).chipId)
  assert.equal(chip(wrapped.report), chip(report))
  assert.equal(wrapped.certificates?.length, 1)
  for (const text of ['', '{', '{}', '[]', 'zz', '{"attestation_report":{}}'])
    if (text !== '') assert.throws(() => recogniseSnpEvidence(encode(text)), FormatError, text)
})

test('64-bit words are exact from text and refused when already rounded', WITH_VECTORS, () => {
  const report = vector('snp/genoa-v5/report.bin')
  const text = JSON.stringify(encodeSnpEvidenceJson({ report })).replace(
    '"current_mit_vector":11',
    '"current_mit_vector":18446744073709551615',
  )
  const back = parseSnpReport(parseSnpEvidenceJson(text).report)
  assert.equal(back.currentMitigationVector, 0xffff_ffff_ffff_ffffn)
  assert.throws(() => parseSnpEvidenceJson(JSON.parse(text)), FormatError)
})

test(
  'parseSnpEvidenceJson() refuses wrong sizes, types and inherited members',
  WITH_VECTORS,
  () => {
    const json = encodeSnpEvidenceJson({ report: vector('snp/genoa-v5/report.bin') })
    const changed = (change: Record<string, unknown>) => ({
      attestation_report: { ...json.attestation_report, ...change },
    })
    for (const change of [
      { chip_id: [1] },
      { measurement: 'ab' },
      { policy: -1 },
      { policy: 1.5 },
      { policy: '196608' },
      { guest_svn: 2 ** 32 },
      { report_data: Array.from({ length: 64 }, () => 256) },
      { signature: null },
      { current_tcb: { bootloader: 1 } },
    ])
      assert.throws(
        () => parseSnpEvidenceJson(changed(change)),
        FormatError,
        JSON.stringify(change),
      )
    const inherited = Object.create(json.attestation_report) as Record<string, unknown>
    assert.throws(() => parseSnpEvidenceJson({ attestation_report: inherited }), FormatError)
  },
)
