/** What one evaluation may use up, and what it gathers. */
import type { BuiltinContext } from '../builtins/registry.ts'
import type { CryptoProvider } from '../crypto.ts'
import { RegoError } from '../error.ts'
import type { Value } from '../value.ts'

/** Bounds of one evaluation. A hostile policy or input ends with a coded error, not with the process. */
export interface Limits {
  /** Expressions, members of collections and calls looked at. Default 10 million. */
  readonly steps: number
  /** Default 5000 ms. */
  readonly timeMs: number
  /** Estimate of what results occupy, in bytes. Default 256 MiB. */
  readonly memoryBytes: number
  /** Rules that evaluate one another. Default 200. */
  readonly depth: number
}

export const DEFAULT_LIMITS: Limits = {
  steps: 10_000_000,
  timeMs: 5000,
  memoryBytes: 256 * 1024 * 1024,
  depth: 200,
}

/** How many steps pass between two looks at the clock. A single step may compare two documents of megabytes. */
const CLOCK_INTERVAL = 64

export interface RunOptions {
  readonly limits: Limits
  /** Monotonic, in milliseconds. */
  readonly clock: () => number
  readonly nowNs: bigint
  readonly crypto: CryptoProvider | undefined
  readonly strictBuiltinErrors: boolean
}

/** One evaluation, shared by all its contexts. */
export class Run implements BuiltinContext {
  readonly nowNs: bigint
  readonly crypto: CryptoProvider | undefined
  readonly strict: boolean
  readonly memo = new Map<string, Value>()
  readonly prints: string[] = []
  depth = 0
  #steps = 0
  #nextLook: number
  #memory = 0
  readonly #limits: Limits
  readonly #clock: () => number
  readonly #deadline: number

  constructor(options: RunOptions) {
    this.#limits = options.limits
    this.#clock = options.clock
    this.#deadline = options.clock() + options.limits.timeMs
    this.#nextLook = Math.min(CLOCK_INTERVAL, options.limits.steps)
    this.nowNs = options.nowNs
    this.crypto = options.crypto
    this.strict = options.strictBuiltinErrors
  }

  step(count = 1): void {
    this.#steps += count
    if (this.#steps > this.#nextLook) this.#look()
  }

  #look(): void {
    const { steps, timeMs } = this.#limits
    if (this.#steps > steps) throw new RegoError('rego.limit.steps', `more than ${steps} steps`)
    if (this.#clock() > this.#deadline)
      throw new RegoError('rego.limit.time', `took longer than ${timeMs} ms`)
    this.#nextLook = Math.min(this.#steps + CLOCK_INTERVAL, steps)
  }

  charge(bytes: number): void {
    this.#memory += bytes
    if (this.#memory > this.#limits.memoryBytes)
      throw new RegoError('rego.limit.memory', `needs more than ${this.#limits.memoryBytes} bytes`)
  }

  enter(): void {
    if (++this.depth > this.#limits.depth)
      throw new RegoError('rego.limit.depth', `rules nest deeper than ${this.#limits.depth}`)
  }

  leave(): void {
    this.depth--
  }

  random(length: number): Uint8Array {
    if (this.crypto !== undefined) return this.crypto.randomBytes(length)
    return globalThis.crypto.getRandomValues(new Uint8Array(length))
  }
}

/** What a value occupies besides what it is made of; deliberately rough. */
export function shallowSize(value: Value): number {
  if (typeof value === 'string') return 16 + value.length * 2
  if (typeof value === 'bigint') return 16 + bigintBytes(value)
  if (typeof value !== 'object' || value === null) return 8
  const count = Array.isArray(value) ? value.length : (value as { size: number }).size
  return 32 + count * 32
}

/** Reading the size of a bigint exactly costs as much as printing it. Anything over 64 bits is looked at. */
function bigintBytes(value: bigint): number {
  return BigInt.asIntN(64, value) === value ? 8 : value.toString(16).length
}
