import assert from 'node:assert/strict'
import { test } from 'node:test'
import { appraise } from '../appraisal/appraise.ts'
import { WITH_VECTORS, vector } from '../testing/vectors.ts'
import type { SnpAppraiseOptions } from './appraise.ts'

const ANY = { reportData: 'any', measurement: 'any', hostData: 'any' } as const
const GENOA = ['snp/genoa-v5/vcek.der']
const IN_2026 = new Date('2026-06-01T00:00:00Z')

function run(
  report: string,
  certificates: readonly string[],
  options: Partial<SnpAppraiseOptions> = {},
) {
  return appraise(vector(report), {
    tee: 'snp',
    expect: ANY,
    now: IN_2026,
    endorsements: { certificates: certificates.map(vector) },
    ...options,
  })
}

test(
  'Genoa version 5 is affirming, with bundle or with built-in intermediates',
  WITH_VECTORS,
  async () => {
    for (const certificates of [GENOA, [...GENOA, 'snp/bundles/genoa_ask_ark_asvk.pem']]) {
      const result = await run('snp/genoa-v5/report.bin', certificates)
      assert.equal(result.status, 'affirming', JSON.stringify(result, null, 1))
      assert.deepEqual(result.anchor, { kind: 'hardware', line: 'Genoa' })
    }
  },
)

test('Milan version 2 of Azure warns, for its chip is not enrolled', WITH_VECTORS, async () => {
  const result = await run('snp/milan-v2-azure/report.bin', ['snp/milan-v2-azure/vcek.der'])
  assert.equal(result.status, 'warning')
})
