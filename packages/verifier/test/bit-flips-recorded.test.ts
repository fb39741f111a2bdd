import { test } from 'node:test'
import { ccaSample, nvidiaSamples } from '../fuzz/sweep-samples.ts'
import { sweepSample } from '../fuzz/sweep.ts'
import { WITH_VECTORS } from '../src/testing/vectors.ts'

// What `bit-flips.test.ts` sweeps in made Evidence alone: the older form of a CCA token, the report of a switch.

test('each bit of a recorded CCA token counts', WITH_VECTORS, async () => {
  await sweepSample(ccaSample())
})

test('each bit of a recorded report of an NVIDIA switch counts', WITH_VECTORS, async () => {
  const sample = nvidiaSamples().find(({ name }) => name.startsWith('nvidia/switch-ls10/report'))
  if (sample === undefined) throw new Error('no switch among the samples')
  await sweepSample(sample)
})
