/**
 * `npm run fuzz -w packages/verifier`: mutated samples through every parser and through whole appraisals. Bounded by FUZZ_SECONDS
 * (60); FUZZ_SEED makes a run repeatable. Whatever throws anything but FormatError, takes longer than a second, or makes an
 * appraisal accept what was changed in a signed range, ends the run with the input in hex.
 */
import { FormatError } from '../src/bytes/format-error.ts'
import { toHex } from '../src/bytes/hex.ts'
import { Mutator } from './mutator.ts'
import { deviceTargets } from './device-targets.ts'
import { targets } from './targets.ts'
import type { Target } from './targets.ts'
import { tpmTargets } from './tpm-targets.ts'

const seconds = Number(process.env['FUZZ_SECONDS'] ?? 60)
const seed = Number(process.env['FUZZ_SEED'] ?? 1)
const MAX_MS = 1000

const all = [...(await targets()), ...(await tpmTargets()), ...deviceTargets()]
console.log(`seed ${seed}, ${seconds} s, targets: ${all.map(({ name }) => name).join(', ')}`)
const mutator = new Mutator(seed)
const counts = new Map<string, number>()
const end = performance.now() + seconds * 1000
while (performance.now() < end)
  for (const target of all)
    for (let round = 0; round < target.batch; round++) {
      const sample = target.corpus[mutator.below(target.corpus.length)]
      if (sample === undefined) continue
      await tryOne(target, mutator.mutate(sample))
      counts.set(target.name, (counts.get(target.name) ?? 0) + 1)
    }
for (const [name, count] of counts) console.log(`${name}: ${count} inputs, nothing found`)

async function tryOne(target: Target, input: Uint8Array): Promise<void> {
  const start = performance.now()
  try {
    await target.run(input)
  } catch (error) {
    if (error instanceof FormatError) return
    console.error(`${target.name} failed on ${toHex(input)}`)
    throw error
  }
  const spent = performance.now() - start
  if (spent > MAX_MS) throw new Error(`${target.name} took ${spent} ms on ${toHex(input)}`)
}
