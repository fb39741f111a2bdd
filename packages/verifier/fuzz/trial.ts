/**
 * Tries inputs on one target. A finding is anything thrown but a FormatError, an input that takes more than a second of processor time, a
 * refusal that allocates more than it may (looked at now and then: reading the heap's size costs as much as a parser), and whatever the target
 * itself calls one. It ends the process.
 */
import { FormatError } from '../src/bytes/format-error.ts'
import { toHex } from '../src/bytes/hex.ts'
import { allocatedSince, isTooMuch, readAllocation } from './allocation.ts'
import type { Allocation } from './allocation.ts'
import type { TargetProgress } from './progress.ts'
import type { Target } from './target.ts'

const MAX_MS = 1000
const MEASURE_EACH = 256
const MEASUREMENTS = 4
/** Fields whose refusals are remembered: some are named by the input. */
const MOST_FIELDS = 500

export class Trial {
  readonly #target: Target
  readonly #kept: TargetProgress
  readonly #refusedAt: Set<string>

  constructor(target: Target, kept: TargetProgress) {
    this.#target = target
    this.#kept = kept
    this.#refusedAt = new Set(kept.refusedAt)
  }

  /** @param start - when it begins, by `performance.now()`. @returns when it ended */
  parse(input: Uint8Array, start: number): number {
    const isMeasured = this.#kept.inputs++ % MEASURE_EACH === 0
    try {
      this.#target.run(input)
      this.#kept.taken++
    } catch (error) {
      this.#refused(input, error)
      if (isMeasured) this.#measure(input)
    }
    const end = performance.now()
    if (end - start > MAX_MS) {
      const before = process.cpuUsage()
      this.#refusalOf(input)
      this.#checkTime(input, before)
    }
    return end
  }

  /** A copy goes in: caches may keep what they are given. */
  async appraise(input: Uint8Array, start: number): Promise<number> {
    this.#kept.inputs++
    try {
      await this.#target.run(input.slice())
      this.#kept.taken++
    } catch (error) {
      this.#refused(input, error)
    }
    const end = performance.now()
    if (end - start > MAX_MS) {
      const before = process.cpuUsage()
      await this.#target.run(input.slice())
      this.#checkTime(input, before)
    }
    return end
  }

  fail(input: Uint8Array, problem: string): never {
    console.error(`${this.#target.name}, state ${this.#kept.state}: ${problem}\n${toHex(input)}`)
    process.exit(1)
  }

  #refused(input: Uint8Array, error: unknown): void {
    if (!(error instanceof FormatError)) this.fail(input, String(error))
    const { field } = error
    if (this.#refusedAt.has(field) || this.#refusedAt.size >= MOST_FIELDS) return
    this.#refusedAt.add(field)
    this.#kept.refusedAt.push(field.slice(0, 64))
  }

  /** More than once: the engine compiles and fetches pages when it likes. */
  #measure(input: Uint8Array): void {
    let last: Allocation | undefined
    for (let round = 0; round < MEASUREMENTS; round++) {
      const before = readAllocation()
      this.#refusalOf(input)
      last = allocatedSince(before)
      if (!isTooMuch(last, input.length)) return
    }
    this.fail(input, `allocated ${last?.outside} bytes outside of the heap, ${last?.onHeap} on it`)
  }

  #refusalOf(input: Uint8Array): void {
    try {
      this.#target.run(input)
    } catch (error) {
      if (!(error instanceof FormatError)) this.fail(input, String(error))
    }
  }

  /** Of a second try: a loaded machine makes everything slow once in a while, and what counts is the processor's time. */
  #checkTime(input: Uint8Array, before: NodeJS.CpuUsage): void {
    const { user, system } = process.cpuUsage(before)
    const spent = (user + system) / 1000
    if (spent > MAX_MS) this.fail(input, `took ${spent} ms of processor time`)
  }
}
