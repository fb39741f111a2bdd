import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EndorsementCache } from '../result/endorsement-cache.ts'
import { WITH_VECTORS, vector } from '../testing/vectors.ts'
import { appraiseSnp } from './appraise.ts'
import { REPORT_SIZE } from './report.ts'

const SAMPLES = [
  ['snp/milan-v2-azure/report.bin', 'snp/milan-v2-azure/vcek.der', '2026-06-01'],
  ['snp/milan-v3-vlek/report.bin', 'snp/milan-v3-vlek/vlek.der', '2025-06-01'],
  ['snp/genoa-v5/report.bin', 'snp/genoa-v5/vcek.der', '2026-06-01'],
] as const

async function statusOf(
  report: Uint8Array,
  certificate: Uint8Array,
  now: string,
  cache: EndorsementCache,
) {
  const result = await appraiseSnp(report, {
    expect: { reportData: 'any', measurement: 'any', hostData: 'any' },
    policy: { vmpl: 'any' },
    now: new Date(now),
    endorsements: { certificates: [certificate] },
    cache,
  })
  return result.status
}

for (const [path, leaf, now] of SAMPLES)
  test(
    `${path}: no single changed bit of the report is accepted, no truncation either`,
    WITH_VECTORS,
    async () => {
      const cache = new EndorsementCache()
      const report = vector(path)
      const certificate = vector(leaf)
      assert.match(await statusOf(report, certificate, now, cache), /affirming|warning/)
      for (let bit = 0; bit < REPORT_SIZE * 8; bit++) {
        const offset = bit >> 3
        report[offset] = (report[offset] as number) ^ (1 << (bit & 7))
        assert.match(
          await statusOf(report, certificate, now, cache),
          /contraindicated|none/,
          `bit ${bit}`,
        )
        report[offset] = report[offset] ^ (1 << (bit & 7))
      }
      for (let length = 0; length < REPORT_SIZE; length++)
        assert.equal(
          await statusOf(report.subarray(0, length), certificate, now, cache),
          'contraindicated',
        )
    },
  )
