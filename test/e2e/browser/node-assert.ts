/** Stands in for `node:assert/strict` in a browser: what the verifier's tests use of it. */
type Expected = RegExp | (abstract new (...parameters: never[]) => Error)

function assert(value: unknown, message = 'not true'): asserts value {
  if (value === false || value === undefined || value === null) throw new Error(message)
}

const strict = Object.assign(assert, {
  ok: assert,
  equal(actual: unknown, expected: unknown, message = ''): void {
    assert(Object.is(actual, expected), `${message} ${show(actual)} is not ${show(expected)}`)
  },
  notEqual(actual: unknown, other: unknown, message = ''): void {
    assert(!Object.is(actual, other), `${message} is ${show(other)}`)
  },
  deepEqual(actual: unknown, expected: unknown, message = ''): void {
    assert(isSame(actual, expected), `${message} ${show(actual)} is not ${show(expected)}`)
  },
  notDeepEqual(actual: unknown, other: unknown, message = ''): void {
    assert(!isSame(actual, other), `${message} is ${show(other)}`)
  },
  match(text: string, pattern: RegExp, message = ''): void {
    assert(pattern.test(text), `${message} ${show(text)} does not match ${String(pattern)}`)
  },
  doesNotMatch(text: string, pattern: RegExp, message = ''): void {
    assert(!pattern.test(text), `${message} ${show(text)} matches ${String(pattern)}`)
  },
  throws(work: () => unknown, expected?: Expected | string): void {
    try {
      work()
    } catch (error) {
      checkThrown(error, expected)
      return
    }
    throw new Error('nothing was thrown')
  },
  async rejects(work: Promise<unknown> | (() => Promise<unknown>), expected?: Expected) {
    try {
      await (typeof work === 'function' ? work() : work)
    } catch (error) {
      checkThrown(error, expected)
      return
    }
    throw new Error('nothing was thrown')
  },
})

export { strict as default }

function checkThrown(error: unknown, expected: Expected | string | undefined): void {
  if (expected === undefined || typeof expected === 'string') return
  if (expected instanceof RegExp) assert(expected.test(String(error)), String(error))
  else assert(error instanceof expected, `${String(error)} is no ${expected.name}`)
}

/** As `assert.deepStrictEqual`, for the values that tests compare: plain and typed data, dates, maps and sets. */
function isSame(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false
  if (a instanceof Date && b instanceof Date) return a.getTime() === b.getTime()
  if (a instanceof Map && b instanceof Map) return isSame([...a], [...b])
  if (a instanceof Set && b instanceof Set)
    return isSame([...a].map(show).toSorted(), [...b].map(show).toSorted())
  const [keysOfA, keysOfB] = [Object.keys(a), Object.keys(b)]
  const member = (value: object, key: string) => (value as Record<string, unknown>)[key]
  return (
    keysOfA.length === keysOfB.length &&
    keysOfA.every((key) => Object.hasOwn(b, key) && isSame(member(a, key), member(b, key)))
  )
}

function show(value: unknown): string {
  const plain = (_: string, part: unknown) => (typeof part === 'bigint' ? `${part}n` : part)
  const text = typeof value === 'string' ? value : JSON.stringify(value, plain)
  return (text ?? String(value)).slice(0, 300)
}
