/**
 * `npm run fuzz -w packages/verifier`: mutated samples through every parser and through whole appraisals, until each parser has had 10 million
 * inputs and each appraisal 100,000, or FUZZ_SECONDS (60; 0 for no limit) are over. With a limit the targets take turns; without, those that
 * need least time come first. FUZZ_SEED (1) makes a run repeatable, FUZZ_STATE names a file in which it is kept and taken up again, FUZZ_ONLY
 * (parts of names, between commas) and FUZZ_PART (`0/2`, `1/2`: every second target) pick targets. What is a finding stands in `trial.ts`; it ends the run
 * with the input in hex. Afterwards every bit of what is signed in the recorded samples is flipped
 * (FUZZ_SWEEP=1; see `sweep-samples.ts`).
 */
import { allTargets } from './all-targets.ts'
import { MutatedInputs } from './mutated-inputs.ts'
import { readProgress, writeProgress } from './progress.ts'
import type { TargetProgress } from './progress.ts'
import { Random } from './random.ts'
import { sweepSamples } from './sweep.ts'
import type { Target } from './target.ts'
import { Trial } from './trial.ts'

const seconds = Number(process.env['FUZZ_SECONDS'] ?? 60)
const seed = Number(process.env['FUZZ_SEED'] ?? 1)
const statePath = process.env['FUZZ_STATE']
const only = (process.env['FUZZ_ONLY'] ?? '').split(',')
const [part = 0, parts = 1] = (process.env['FUZZ_PART'] ?? '0/1').split('/').map(Number)
const GOALS = { parse: 10_000_000, appraisal: 100_000 } as const
const TURN_MS = 100
const SAVE_MS = 10_000
/** One input of so many is compared with its sample afterwards. */
const LOOK_EACH = 1024

// Hostile bytes make FormatErrors by the million: nobody reads where in our code they were thrown.
Error.stackTraceLimit = 0

const all = (await allTargets()).filter(
  ({ name }, index) => only.some((piece) => name.includes(piece)) && index % parts === part,
)
const progress = readProgress(statePath, seed)
const inputs = new Map(
  all.map((target) => [target, new MutatedInputs([...target.corpus, ...target.more])]),
)
console.log(`seed ${seed}, ${seconds === 0 ? 'no' : seconds} s limit, ${all.length} targets`)

const end = seconds === 0 ? Number.POSITIVE_INFINITY : performance.now() + seconds * 1000
let saved = performance.now()
while (performance.now() < end) {
  const open = nextTargets()
  if (open.length === 0) break
  for (const target of open) {
    await turn(target, progressOf(target))
    if (performance.now() >= end) break
  }
  if (performance.now() - saved < SAVE_MS) continue
  writeProgress(statePath, progress)
  saved = performance.now()
}
writeProgress(statePath, progress)
for (const target of all) console.log(report(target, progressOf(target)))
if (process.env['FUZZ_SWEEP'] === '1') await sweepSamples(console.log)

/** All that are not at their goal; without a limit the one that is nearest to it in time, once the speed of each is known. */
function nextTargets(): readonly Target[] {
  const open = all.filter((target) => progressOf(target).inputs < GOALS[target.kind])
  if (seconds !== 0 || open.some((target) => progressOf(target).seconds === 0)) return open
  return open.toSorted((one, other) => secondsLeft(one) - secondsLeft(other)).slice(0, 1)
}

function secondsLeft(target: Target): number {
  const { inputs: done, seconds: spent } = progressOf(target)
  return ((GOALS[target.kind] - done) * spent) / done
}

/** Each target has its own sequence of inputs, so that it is the same whatever else is fuzzed. */
function progressOf({ name }: Target): TargetProgress {
  return (progress.targets[name] ??= {
    inputs: 0,
    taken: 0,
    seconds: 0,
    state: seedOf(name),
    refusedAt: [],
  })
}

/** FNV-1a over the name, with the run's seed. */
function seedOf(name: string): number {
  let hash = 0x811c9dc5 ^ seed
  for (let index = 0; index < name.length; index++)
    hash = Math.imul(hash ^ name.charCodeAt(index), 0x01000193)
  return hash >>> 0
}

async function turn(target: Target, kept: TargetProgress): Promise<void> {
  const mutated = inputs.get(target) as MutatedInputs
  const random = new Random(kept.state)
  const trial = new Trial(target, kept)
  const goal = GOALS[target.kind]
  const spent = process.cpuUsage()
  const start = performance.now()
  let now = start
  while (now - start < TURN_MS && kept.inputs < goal) {
    kept.state = random.state
    const input = mutated.next(random)
    // Parsers answer at once; waiting for them would cost more than they do.
    now = target.kind === 'parse' ? trial.parse(input, now) : await trial.appraise(input, now)
    if (kept.inputs % LOOK_EACH === 0 && !mutated.isUnharmed())
      trial.fail(input, 'its input was written into')
  }
  kept.state = random.state
  const { user, system } = process.cpuUsage(spent)
  kept.seconds += (user + system) / 1e6
}

function report({ name, kind }: Target, kept: TargetProgress): string {
  const { inputs: done, seconds: spent, taken, refusedAt } = kept
  const share = (part: number, whole: number) => `${((part / whole) * 100).toFixed(1)} %`
  const rate = spent === 0 ? 0 : Math.round(done / spent)
  return `| ${name} | ${done.toLocaleString('en')} | ${share(done, GOALS[kind])} | ${rate.toLocaleString('en')} | ${share(taken, done)} | ${refusedAt.length} | nothing |`
}
