/**
 * `npm run fuzz -w packages/verifier`: mutated samples through every parser and through whole appraisals, in turns of about a tenth of a
 * second each, until each parser has had 10 million inputs and each appraisal 100,000, or FUZZ_SECONDS (60; 0 for no limit) are over.
 * FUZZ_SEED (1) makes a run repeatable, FUZZ_STATE names a file in which it is kept and taken up again, FUZZ_ONLY (part of a name) picks
 * targets. Whatever throws anything but FormatError, takes more than a second of processor time, or is accepted though a signed range was changed,
 * ends the run with the input in hex. Afterwards every sample of fixed layout is swept bit by bit (FUZZ_SWEEP=1; see `sweep.ts`).
 */
import { FormatError } from '../src/bytes/format-error.ts'
import { toHex } from '../src/bytes/hex.ts'
import { appraisalTargets } from './appraisal-targets.ts'
import { deviceTargets } from './device-targets.ts'
import { endorsementTargets } from './endorsement-targets.ts'
import { Mutator } from './mutator.ts'
import { readProgress, writeProgress } from './progress.ts'
import type { TargetProgress } from './progress.ts'
import { sweepSamples } from './sweep.ts'
import type { Target } from './target.ts'
import { targets } from './targets.ts'
import { tpmTargets } from './tpm-targets.ts'

const seconds = Number(process.env['FUZZ_SECONDS'] ?? 60)
const seed = Number(process.env['FUZZ_SEED'] ?? 1)
const statePath = process.env['FUZZ_STATE']
const only = process.env['FUZZ_ONLY'] ?? ''
const GOALS = { parse: 10_000_000, appraisal: 100_000 } as const
const MAX_MS = 1000
const TURN_MS = 100
const SAVE_MS = 10_000

// Hostile bytes make FormatErrors by the million: nobody reads where in our code they were thrown.
Error.stackTraceLimit = 0

const all = [
  ...(await targets()),
  ...(await tpmTargets()),
  ...deviceTargets(),
  ...(await endorsementTargets()),
  ...(await appraisalTargets()),
].filter(({ name, corpus }) => name.includes(only) && corpus.length > 0)
const progress = readProgress(statePath, seed)
console.log(`seed ${seed}, ${seconds === 0 ? 'no' : seconds} s limit, ${all.length} targets`)

const end = seconds === 0 ? Number.POSITIVE_INFINITY : performance.now() + seconds * 1000
let saved = performance.now()
for (;;) {
  const open = all.filter((target) => progressOf(target).inputs < GOALS[target.kind])
  if (open.length === 0 || performance.now() >= end) break
  for (const target of open) {
    await turn(target, progressOf(target))
    if (performance.now() >= end) break
  }
  if (performance.now() - saved > SAVE_MS) {
    writeProgress(statePath, progress)
    saved = performance.now()
  }
}
writeProgress(statePath, progress)
for (const target of all) console.log(report(target, progressOf(target)))
if (process.env['FUZZ_SWEEP'] === '1') await sweepSamples(console.log)

/** Each target has its own sequence of inputs, so that it is the same whatever else is fuzzed. */
function progressOf({ name }: Target): TargetProgress {
  return (progress.targets[name] ??= { inputs: 0, seconds: 0, state: seedOf(name) })
}

/** FNV-1a over the name, with the run's seed. */
function seedOf(name: string): number {
  let hash = 0x811c9dc5 ^ seed
  for (let index = 0; index < name.length; index++)
    hash = Math.imul(hash ^ name.charCodeAt(index), 0x01000193)
  return hash >>> 0
}

async function turn(target: Target, kept: TargetProgress): Promise<void> {
  const mutator = new Mutator(kept.state)
  const start = performance.now()
  let now = start
  while (now - start < TURN_MS && kept.inputs < GOALS[target.kind]) {
    const state = mutator.state
    const sample = target.corpus[mutator.below(target.corpus.length)] as Uint8Array
    const input = mutator.mutate(sample)
    const before = now
    await tryOne(target, input, state)
    now = performance.now()
    if (now - before > MAX_MS) await confirmSlow(target, input, state)
    kept.inputs++
  }
  kept.state = mutator.state
  kept.seconds += (now - start) / 1000
}

/** A loaded machine makes everything slow once in a while: what counts is the processor's time, and a second try. */
async function confirmSlow(target: Target, input: Uint8Array, state: number): Promise<void> {
  const before = process.cpuUsage()
  await tryOne(target, input, state)
  const { user, system } = process.cpuUsage(before)
  const spent = (user + system) / 1000
  if (spent > MAX_MS) fail(target, input, state, `took ${spent} ms of processor time`)
}

async function tryOne(target: Target, input: Uint8Array, state: number): Promise<void> {
  try {
    const result = target.run(input)
    // Parsers answer at once; waiting for them would cost more than they do.
    if (target.kind === 'appraisal') await result
  } catch (error) {
    if (error instanceof FormatError) return
    fail(target, input, state, String(error))
  }
}

function fail(target: Target, input: Uint8Array, state: number, problem: string): never {
  console.error(`${target.name}, state ${state}: ${problem}\n${toHex(input)}`)
  process.exit(1)
}

function report({ name, kind }: Target, { inputs, seconds: spent }: TargetProgress): string {
  const rate = spent === 0 ? 0 : Math.round(inputs / spent)
  const share = ((inputs / GOALS[kind]) * 100).toFixed(1)
  return `${name}: ${inputs} inputs (${share} % of the goal), ${rate}/s, nothing found`
}
