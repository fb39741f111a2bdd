import assert from 'node:assert/strict'
import { test } from 'node:test'
import { appraise } from '../appraisal/appraise.ts'
import { FakeAmd, GENOA_GUEST } from '../testing/fake-amd.ts'
import { newSnpReport } from './report-template.ts'

const NOW = new Date('2026-06-01T00:00:00Z')
const ANY = { reportData: 'any', measurement: 'any', hostData: 'any' } as const
const REPORT = newSnpReport({ ...GENOA_GUEST, hostData: new Uint8Array(32).fill(3) })

test('a fake AMD is hardware in its own world and a foreign root in ours', async () => {
  const fake = new FakeAmd()
  const evidence = fake.evidence(REPORT)
  const own = await fake.appraise(evidence, { expect: ANY, now: NOW })
  assert.equal(own.status, 'affirming', JSON.stringify(own, null, 1))
  const ours = await appraise(evidence, { tee: 'snp', expect: ANY, now: NOW })
  assert.equal(ours.status, 'contraindicated')
  assert.deepEqual(ours.status === 'contraindicated' && ours.reasons, [
    'snp.endorsement.untrusted-root',
  ])
})

test('a simulated root is at most a warning and says so', async () => {
  const simulated = new FakeAmd({ names: 'simulated' })
  const evidence = simulated.evidence(REPORT)
  const options = { tee: 'snp', expect: ANY, now: NOW } as const
  const pinned = await appraise(evidence, { ...options, simulatedRoots: [simulated.fingerprint] })
  assert.equal(pinned.status, 'warning')
  assert.deepEqual(pinned.status === 'warning' && pinned.reasons, ['snp.anchor.simulated'])
  assert.deepEqual(pinned.anchor, { kind: 'simulated', fingerprint: simulated.fingerprint })
  const unpinned = await appraise(evidence, options)
  assert.equal(unpinned.status, 'contraindicated')
})

test('names of AMD or of FAKE under a simulated root are refused', async () => {
  for (const names of ['amd', 'fake'] as const) {
    const foreign = new FakeAmd({ names })
    const result = await appraise(foreign.evidence(REPORT), {
      tee: 'snp',
      expect: ANY,
      now: NOW,
      simulatedRoots: [foreign.fingerprint],
    })
    assert.deepEqual(result.status === 'contraindicated' && result.reasons, [
      'snp.endorsement.untrusted-root',
    ])
  }
})
