import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isCode } from '@cloister/protocol/testing'
import { requireMeasuredCpus } from './measured-cpus.ts'

test('a launch digest is there for some numbers of vCPUs; TDX and boots by firmware take any', () => {
  for (const tee of ['snp', 'simulated'] as const) {
    for (const cpus of [1, 2, 4]) requireMeasuredCpus(tee, cpus)
    assert.throws(() => requireMeasuredCpus(tee, 3), isCode('vm.combination-unfit'))
  }
  for (const tee of ['tdx', 'none', 'sev', 'sev-es'] as const) requireMeasuredCpus(tee, 3)
})
