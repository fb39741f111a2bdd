/** A hostile policy or input ends with a coded error. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RegoError, type RegoErrorCode } from './error.ts'
import { compile, type EvaluateOptions } from './policy.ts'
import type { Limits } from './evaluate/run.ts'

function failure(
  source: string,
  limits: Partial<Limits>,
  options: EvaluateOptions = {},
): RegoErrorCode | 'none' {
  try {
    compile({ modules: [{ file: 'p', source: `package p\n${source}` }], limits }).evaluate(
      'data.p.x',
      options,
    )
    return 'none'
  } catch (error) {
    assert.ok(error instanceof RegoError, String(error))
    return error.code
  }
}

const NESTED_LOOPS = 'r := numbers.range(1, 1000)\nx := count([1 | r[_]; r[_]; r[_]])'

test('steps are limited', () => {
  assert.equal(failure(NESTED_LOOPS, { steps: 100_000 }), 'rego.limit.steps')
})

test('time is limited by the clock that is given', () => {
  let now = 0
  assert.equal(
    failure(NESTED_LOOPS, { timeMs: 50 }, { clock: () => (now += 10) }),
    'rego.limit.time',
  )
})

const HUNGRY: Readonly<Record<string, string>> = {
  range: 'x := numbers.range(1, 100000000)',
  doubling: `a0 := "0123456789abcdef"\n${Array.from({ length: 40 }, (_, n) => `a${n + 1} := concat("", [a${n}, a${n}])`).join('\n')}\nx := count(a40)`,
  shifting: 'x := bits.lsh(bits.lsh(1, 1000000), 1000000)',
  squaring: `a0 := 1000000000000000000000\n${Array.from({ length: 40 }, (_, n) => `a${n + 1} := a${n} * a${n}`).join('\n')}\nx := a40`,
  replace:
    'a := concat("", ["a" | numbers.range(1, 3000)[_]])\nx := replace(replace(a, "a", a), "a", a)',
  padding: 'x := [sprintf("%1000000d", [1]) | numbers.range(1, 1000)[_]]',
  comprehension: 'r := numbers.range(1, 2000)\nx := [[a, b] | a := r[_]; b := r[_]]',
  expansion: 'x := net.cidr_expand("10.0.0.0/8")',
  paths: 'n := numbers.range(1, 12)\ng := {k: n | k := n[_]}\nx := graph.reachable_paths(g, {1})',
}
for (const [what, source] of Object.entries(HUNGRY))
  test(`memory is limited: ${what}`, () => {
    const code = failure(source, { memoryBytes: 8 * 1024 * 1024, steps: 3_000_000, timeMs: 20_000 })
    assert.match(code, /^rego\.limit\.(?:memory|steps)$/)
  })

test('depth of rules is limited', () => {
  const chain = Array.from({ length: 500 }, (_, n) => `a${n} := a${n + 1}`).join('\n')
  assert.equal(failure(`${chain}\na500 := 1\nx := a0`, {}), 'rego.limit.depth')
})

test('depth of values is limited', () => {
  const deep = JSON.parse('['.repeat(3000) + ']'.repeat(3000)) as unknown
  assert.equal(failure('x := input', {}, { input: deep }), 'rego.limit.depth')
  assert.equal(
    failure('x := json.unmarshal(input)', {}, { input: '['.repeat(3000) + ']'.repeat(3000) }),
    'rego.limit.depth',
  )
})

test('depth of source is limited', () => {
  assert.equal(failure(`x := ${'['.repeat(5000)}${']'.repeat(5000)}`, {}), 'rego.limit.depth')
  assert.equal(failure(`x := ${'('.repeat(5000)}1`, {}), 'rego.limit.depth')
})

test('look-ahead for comprehensions does not explode', () => {
  const nested = `${'[a | '.repeat(60)}1${', 2]'.repeat(60)}`
  const start = performance.now()
  failure(`a := {1}\nx := ${nested}`, {})
  assert.ok(performance.now() - start < 2000)
})

test('a huge exponent is no huge number', () => {
  assert.equal(failure('x := 1e999999999', {}), 'rego.parse')
  assert.equal(failure('x := to_number("1e999999999")', {}), 'none')
})
