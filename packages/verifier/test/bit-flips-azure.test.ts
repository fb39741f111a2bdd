import { test } from 'node:test'
import { azureSnpSamples, azureTdxSamples } from '../fuzz/sweep-samples.ts'
import { sweepSample } from '../fuzz/sweep.ts'
import { WITH_VECTORS } from '../src/testing/vectors.ts'

// Evidence of version 0 and of version 1, and of a TD: the hardware's report or quote, the runtime data and the vTPM's quote.

const FILES = ['snp-milan-v2/evidence-v1', 'snp-milan-v3/evidence-v0', 'tdx-00806f/evidence-v1']

for (const file of FILES)
  test(`azure/${file}: each bit of what is signed counts`, WITH_VECTORS, async () => {
    const all = [...azureSnpSamples(), ...(await azureTdxSamples())]
    const swept = all.filter(({ name }) => name.startsWith(`azure/${file}, `))
    if (swept.length !== 3) throw new Error(`${swept.length} parts of ${file}`)
    for (const sample of swept) await sweepSample(sample)
  })
