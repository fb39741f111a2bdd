/** What a built-in function is, and the table that a policy finds them in. */
import type { CryptoProvider } from '../crypto.ts'
import type { Value } from '../value.ts'

/** What a built-in may use besides its arguments. */
export interface BuiltinContext {
  /** The instant of the evaluation, in nanoseconds since 1970. */
  readonly nowNs: bigint
  readonly crypto: CryptoProvider | undefined
  /** State of built-ins that must answer the same within one evaluation. */
  readonly memo: Map<string, Value>
  /** Counts work; throws when the limit on steps or time is reached. */
  step(count?: number): void
  /** Counts memory, in bytes; throws when the limit is reached. */
  charge(bytes: number): void
  /** Random bytes; the same source for one evaluation. */
  random(length: number): Uint8Array
}

export interface Builtin {
  readonly arity: number
  /**
   * The value, or undefined. A wrong argument throws {@link BuiltinError}: with strict built-in errors the
   * evaluation ends, otherwise the call is undefined.
   */
  readonly call: (args: readonly Value[], context: BuiltinContext) => Value | undefined
  /** The result is an array whose items are the results of as many calls: `walk`. */
  readonly relation?: boolean
  /** Any number of arguments: `print`. */
  readonly variadic?: boolean
  /** The result is part of an argument and takes no memory of its own. */
  readonly selects?: boolean
  /** Not part of v1. */
  readonly deprecated?: boolean
}

export type Builtins = ReadonlyMap<string, Builtin>

/** A built-in refuses its arguments. */
export class BuiltinError extends Error {
  override readonly name = 'BuiltinError'
}
