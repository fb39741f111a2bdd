import { collectGarbage } from '@cloister/protocol/collect-garbage'

/** One measured promise: its floor (what hardware and libraries below cost) and ours, in the same run and unit. */
export interface Figure {
  readonly name: string
  readonly unit: string
  /** 0 when the promise has no floor. */
  readonly floor: number
  readonly ours: number
  /** The promise in words, as in docs/performance.md. */
  readonly promise: string
  readonly held: boolean
}

/** The median time of one call, in milliseconds: batches long enough for the clock, their median against noise. */
export function medianMs(work: () => unknown, { batches = 15, callsPerBatch = 20 } = {}): number {
  work()
  const times: number[] = []
  for (let batch = 0; batch < batches; batch++) {
    const start = performance.now()
    for (let call = 0; call < callsPerBatch; call++) work()
    times.push((performance.now() - start) / callsPerBatch)
  }
  return median(times)
}

export async function medianMsAsync(
  work: () => Promise<unknown>,
  { batches = 9, callsPerBatch = 10 } = {},
): Promise<number> {
  await work()
  const times: number[] = []
  for (let batch = 0; batch < batches; batch++) {
    const start = performance.now()
    for (let call = 0; call < callsPerBatch; call++) await work()
    times.push((performance.now() - start) / callsPerBatch)
  }
  return median(times)
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

/**
 * What a quarter of the measurements stayed below. Whatever else goes on in a shared machine only adds to a measurement, and adds more to what uses much memory than to
 * the arithmetic of a floor: undisturbed ones say what the software costs. For floor and ours alike.
 */
export function lowerQuarter(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 4)] ?? Number.NaN
}

const CPU_ROUNDS = 48
const CPU_WARM_UP = 2000
const CPU_CALLS = 50

/**
 * CPU microseconds of one call of each, {@link lowerQuarter} of short turns: on a shared machine CPU time says more than the clock. Each turn ends with a
 * collection of its own garbage, else the one that fills the memory sooner would pay for both: native keys and checks are garbage too, the dearest.
 */
export async function cpuInTurns(
  floor: () => unknown,
  ours: () => Promise<unknown>,
): Promise<readonly [number, number]> {
  // A verifier runs for days: what counts is the speed once the compiler has settled.
  for (let call = 0; call < CPU_WARM_UP; call++) await ours()
  const floors: number[] = []
  const mine: number[] = []
  for (let round = 0; round < CPU_ROUNDS; round++) {
    const start = process.cpuUsage()
    for (let call = 0; call < CPU_CALLS; call++) floor()
    collectGarbage({ type: 'minor' })
    const spent = process.cpuUsage(start)
    const middle = process.cpuUsage()
    for (let call = 0; call < CPU_CALLS; call++) await ours()
    collectGarbage({ type: 'minor' })
    const own = process.cpuUsage(middle)
    floors.push((spent.user + spent.system) / CPU_CALLS)
    mine.push((own.user + own.system) / CPU_CALLS)
  }
  return [lowerQuarter(floors), lowerQuarter(mine)]
}
