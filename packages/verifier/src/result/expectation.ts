/** What a caller expects of a field of bytes. */
import { equalBytes } from '../bytes/equal.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import type { CheckSink } from './check.ts'

/** Raw bytes, or the same in hex. */
export type Bytes = Uint8Array | string

/** One value, a list of which one must match (an empty list matches nothing), or `'any'`: not checked, and the result says so. */
export type ExpectedBytes = Bytes | readonly Bytes[]

/** How many bytes a field has: exactly, or up to. */
export type FieldSize = number | { readonly upTo: number }

/** @throws RangeError when hex or length are wrong: a mistake of the caller, not of the Evidence */
export function expectedValues(
  name: string,
  expected: ExpectedBytes,
  size: FieldSize,
): readonly Uint8Array[] | 'any' {
  if (expected === undefined)
    throw new TypeError(`expect.${name} is missing; write 'any' to ignore it`)
  if (expected === 'any') return 'any'
  const list: readonly Bytes[] =
    typeof expected === 'string' || expected instanceof Uint8Array ? [expected] : expected
  return list.map((value) => {
    const bytes = typeof value === 'string' ? hexBytes(name, value) : value
    const fits = typeof size === 'number' ? bytes.length === size : bytes.length <= size.upTo
    if (!fits) {
      const wanted = typeof size === 'number' ? `${size}` : `at most ${size.upTo}`
      throw new RangeError(`expect.${name} has ${bytes.length} bytes, wanted ${wanted}`)
    }
    return bytes
  })
}

/** Compares in constant time with every value on the list. A field that the Evidence does not have matches none. */
export function checkExpected<Code extends string>(
  checks: CheckSink<Code>,
  code: Code,
  expected: readonly Uint8Array[] | 'any',
  received: Uint8Array | undefined,
  where: string,
): void {
  const shown = received === undefined ? 'absent' : toHex(received)
  if (expected === 'any') {
    checks.add(code, 'not-checked', { received: shown, where })
    return
  }
  let found = false
  if (received !== undefined)
    for (const value of expected) found = equalBytes(value, received) || found
  checks.require(code, found, {
    expected: expected.length === 0 ? 'nothing' : expected.map(toHex).join(' or '),
    received: shown,
    where,
  })
}

function hexBytes(name: string, text: string): Uint8Array {
  try {
    return fromHex(text)
  } catch (error) {
    throw new RangeError(`expect.${name} is not hex`, { cause: error })
  }
}
