import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RegoError, type RegoErrorCode } from './error.ts'
import { toJson } from './json.ts'
import { compile, type CompileOptions, type EvaluateOptions } from './policy.ts'

function evaluate(
  source: string,
  query: string,
  options: EvaluateOptions & Partial<CompileOptions> = {},
): unknown {
  const policy = compile({
    modules: [{ file: 'p.rego', source: `package p\n${source}` }],
    ...options,
  })
  return policy.decide(query, options)
}

/** The value of `data.p.x`. */
function x(source: string, options: EvaluateOptions & Partial<CompileOptions> = {}): unknown {
  return evaluate(source, 'data.p.x', options)
}

function failsWith(code: RegoErrorCode, run: () => unknown): void {
  assert.throws(run, (error) => error instanceof RegoError && error.code === code)
}

const VALUES: readonly [string, string, unknown][] = [
  ['complete rules', 'x := 1', 1],
  ['defaults', 'default x := 1\nx := 2 if false', 1],
  ['else', 'x := 1 if { false } else := 2 if { false } else := 3', 3],
  ['null is a value', 'x := null', null],
  ['null in an object', 'x := {"a": y}\ny := null', { a: null }],
  ['false is a value', 'x := false', false],
  ['partial sets', 'x contains n if { some n in [2, 1, 2] }', [1, 2]],
  ['partial objects', 'x[k] := v if { some k, v in {"a": 1, "b": 2} }', { a: 1, b: 2 }],
  [
    'nested partial objects',
    'x[a][b] := c if { some [a, b, c] in [["i", "j", 1], ["i", "k", 2]] }',
    { i: { j: 1, k: 2 } },
  ],
  [
    'partial objects of sets',
    'x[k] contains v if { some [k, v] in [["a", 1], ["a", 2]] }',
    { a: [1, 2] },
  ],
  [
    'constant keys beside variable ones',
    'x.a := 1\nx[k] := 2 if { some k in ["b"] }',
    { a: 1, b: 2 },
  ],
  ['functions', 'f(n) := n * 2\nx := f(f(2))', 8],
  ['functions by pattern', 'f("a") := 1\nf("b") := 2\nx := [f("a"), f("b")]', [1, 2]],
  ['functions over arrays', 'f([a, _]) := a\nx := f([7, 8])', 7],
  ['default functions', 'default f(_) := 0\nf(n) := 1 if n > 1\nx := [f(0), f(2)]', [0, 1]],
  ['functions that give false', 'f(n) := n > 1\nx := f(0)', false],
  ['unification of both sides', 'x := [a, b] if { [a, 2] = [1, b] }', [1, 2]],
  ['unification in any order', 'x := a if { a = b; b = 3 }', 3],
  ['unification of objects', 'x := a if { {"k": a, "l": 2} = {"k": 1, "l": 2} }', 1],
  ['the same variable twice in a pattern', 'x := [a | some [a, a] in [[1, 2], [3, 3]]]', [3]],
  ['iteration over indexes', 'x := [i | ["a", "b", "a"][i] == "a"]', [0, 2]],
  [
    'dependent indexes',
    'xs := [1, 0]\nys := [[5, 6], [7, 8]]\nx := [y | y := ys[i][xs[i]]]',
    [6, 7],
  ],
  [
    'the same index twice',
    'a := [1, 2]\nb := [3, 4]\nx := [[a[i], b[i]] | a[i]]',
    [
      [1, 3],
      [2, 4],
    ],
  ],
  ['iteration over sets by member', 'x := n if { {1, 2}[n]; n > 1 }', 2],
  ['membership', 'x := [1 in [1], "a", 1 in {"a": 1}, 2 in {1}]', [true, 'a', true, false]],
  ['every', 'x if { every n in [1, 2] { n > 0 } }', true],
  ['every over nothing', 'x if { every n in [] { n > 0 } }', true],
  ['every with a key', 'x if { every k, v in {"a": "a"} { k == v } }', true],
  ['not of undefined', 'x if { not input.a }', true],
  ['not of false', 'y := false\nx if { not y }', true],
  [
    'comprehensions see outer variables',
    'x := y if { n := 2; y := [m | some m in [1, 2, 3]; m >= n] }',
    [2, 3],
  ],
  ['object comprehensions', 'x := {k: v | some k, v in ["a"]}', { '0': 'a' }],
  ['with input', 'y := input.a\nx := v if { v := y with input.a as 5 }', 5],
  ['with data', 'y := data.q.r\nx := v if { v := y with data.q.r as 5 }', 5],
  ['with a rule', 'y := 1\nz := y + 1\nx := v if { v := z with data.p.y as 5 }', 6],
  ['with a built-in by value', 'y := count([1])\nx := v if { v := y with count as 7 }', 7],
  ['with a built-in by function', 'f(_) := 9\nx := v if { v := count([1]) with count as f }', 9],
  [
    'with ends with its expression',
    'y := input.a\nx := [a, b] if { a := y with input.a as 1; b := object.get({}, "a", 2); not input.a }',
    [1, 2],
  ],
  [
    'integers beyond 64 bits',
    'x := 123456789012345678901234567890 + 1',
    123456789012345678901234567891n,
  ],
  ['whole floats are integers', 'x := [1.0 == 1, 10 / 4, 10 / 5, 1e3]', [true, 2.5, 2, 1000]],
  ['set operations', 'x := ({1, 2} | {3}) - ({1} & {1, 2})', [2, 3]],
  ['keys of any type', 'x := {1: "a", [2]: "b", null: "c"}', { null: 'c', '1': 'a', '[2]': 'b' }],
  ['templates', 'n := 2\nx := $"a {n} {n + 1} \\{ {input.no}"', 'a 2 3 { <undefined>'],
  ['raw strings', 'x := `a\\n"`', 'a\\n"'],
  ['negative literals', 'x := [-1, 1-1, - 2]', [-1, 0, -2]],
  ['ref heads', 'x.y.z := 1', { y: { z: 1 } }],
  ['calls with an output', 'x := n if { count([1, 2], n) }', 2],
  ['walk', 'x := [p | walk({"a": [1]}, [p, 1])]', [['a', 0]]],
  ['rules with several bodies', 'x if { false }\nx if { true }', true],
  ['undefined makes collections undefined', 'x := [1, input.no]', undefined],
  ['built-in errors are undefined', 'x := to_number("a")', undefined],
]
for (const [what, source, wanted] of VALUES)
  test(`evaluate() knows ${what}`, () => assert.deepEqual(x(source), wanted))

const ERRORS: readonly [string, string, RegoErrorCode][] = [
  ['an unsafe variable', 'x := y', 'rego.unsafe-var'],
  ['an unsafe variable under not', 'x if { not input[n] }', 'rego.unsafe-var'],
  ['an unsafe head', 'x contains n if { m := 1; m > 0 }', 'rego.unsafe-var'],
  ['recursion', 'x if { y }\ny if { x }', 'rego.recursion'],
  ['recursion of functions', 'f(n) := f(n)\nx := f(1)', 'rego.recursion'],
  ['recursion through the package', 'x := data.p', 'rego.recursion'],
  ['a second assignment', 'x if { a := 1; a := 2 }', 'rego.compile'],
  ['assignment after use', 'x if { a == 1; a := 1 }', 'rego.unsafe-var'],
  ['a function with a variable path', 'f[k](n) := 1 if { k := "a" }', 'rego.compile'],
  ['an assignment to a ref', 'x if { input.a := 1 }', 'rego.compile'],
  ['an argument assigned', 'f(a) := 1 if { a := 2 }', 'rego.compile'],
  ['an unknown function', 'x := nope(1)', 'rego.type'],
  ['a wrong number of arguments', 'x := count(1, 2, 3)', 'rego.type'],
  ['a function with two arities', 'f(a) := 1\nf(a, b) := 1', 'rego.type'],
  ['a rule that is set and value', 'x := 1\nx contains 2', 'rego.type'],
  ['two defaults', 'default x := 1\ndefault x := 2', 'rego.type'],
  ['rules below a complete rule', 'x := 1\nx.y := 2', 'rego.type'],
  ['iteration over a number', 'x if { some y in 5 }', 'rego.type'],
  ['input as a name', 'input := 1', 'rego.compile'],
  ['two results', 'x := 1\nx := 2', 'rego.conflict'],
  ['two results of one body', 'x := n if { some n in [1, 2] }', 'rego.conflict'],
  [
    'two values for a key',
    'x["a"] := 1\nx["a"] := 2\nx[k] := 3 if { some k in ["b"] }',
    'rego.conflict',
  ],
  ['two results of a function', 'f(_) := 1\nf(_) := 2\nx := f(0)', 'rego.conflict'],
  ['two values in an object comprehension', 'x := {"a": n | some n in [1, 2]}', 'rego.conflict'],
  ['a body without if', 'x { true }', 'rego.parse'],
  ['an unfinished string', 'x := "a', 'rego.parse'],
  ['imports below rules', 'x := 1\nimport data.q', 'rego.parse'],
]
for (const [what, source, code] of ERRORS)
  test(`compile() or evaluate() refuses ${what}`, () => failsWith(code, () => x(source)))

test('errors carry file, row, column and line', () => {
  try {
    compile({ modules: [{ file: 'a.rego', source: 'package a\n\nx := y + 1' }] })
    assert.fail()
  } catch (error) {
    assert.ok(error instanceof RegoError)
    assert.deepEqual(
      [error.file, error.row, error.column, error.line],
      ['a.rego', 3, 6, 'x := y + 1'],
    )
  }
})

test('v0 has set rules without contains, and no keywords without import', () => {
  const v0 = { version: 'v0' } as const
  assert.deepEqual(x('x[n] { n = [1, 2][_] }', v0), [1, 2])
  assert.deepEqual(x('x[n] = 1 { n = ["a"][_] }', v0), { a: 1 })
  assert.equal(x('in := 1\nx := in', v0), 1)
  assert.equal(x('import rego.v1\nx if { 1 in [1] }', v0), true)
  failsWith('rego.parse', () => x('import rego.v1\nx { true }', v0))
})

test('strict built-in errors end the evaluation', () => {
  failsWith('rego.builtin', () => x('x := to_number("a")', { strictBuiltinErrors: true }))
})

test('query results have bindings and expressions as OPA gives them', () => {
  const policy = compile({ modules: [] })
  const results = (query: string) =>
    policy
      .evaluate(query, { input: { a: [1, 2] } })
      .result.map(({ bindings, expressions }) => [
        Object.fromEntries(Object.entries(bindings).map(([name, value]) => [name, toJson(value)])),
        expressions.map(({ value }) => toJson(value)),
      ])
  assert.deepEqual(results('n := input.a[i]'), [
    [{ n: 1, i: 0 }, [true]],
    [{ n: 2, i: 1 }, [true]],
  ])
  assert.deepEqual(results('1 == 2'), [[{}, [false]]])
  assert.deepEqual(results('1 == 1; 1 == 2'), [])
  assert.deepEqual(results('input.b'), [])
  assert.deepEqual(results('x = 1'), [[{ x: 1 }, [true]]])
})

test('a policy keeps no state between evaluations', () => {
  const policy = compile({ modules: [{ file: 'p', source: 'package p\nx := input.a' }] })
  assert.equal(policy.decide('data.p.x', { input: { a: 1 } }), 1)
  assert.equal(policy.decide('data.p.x', { input: {} }), undefined)
})

test('host functions get and give JSON', () => {
  const builtins = { 'host.pair': { arity: 2, call: (a: unknown, b: unknown) => ({ a, b }) } }
  assert.deepEqual(x('x := host.pair([1], null)', { builtins }), { a: [1], b: null })
  assert.equal(
    x('x := host.none()', { builtins: { 'host.none': { arity: 0, call: () => undefined } } }),
    undefined,
  )
})

test('nothing of the machine is visible', () => {
  assert.deepEqual(x('x := opa.runtime()'), {})
  failsWith('rego.type', () => x('x := http.send({})'))
  assert.equal(x('x := time.now_ns()', { now: 5n }), 5)
})

test('prints carry file, row and undefined values', () => {
  const policy = compile({
    modules: [{ file: 'p.rego', source: 'package p\nx if { print("a", input.no, {1}) }' }],
  })
  assert.deepEqual(policy.evaluate('data.p.x').prints, ['p.rego:2: a <undefined> {1}'])
})

test('the index over rules changes no result', () => {
  const rules = Array.from(
    { length: 50 },
    (_, n) => `x contains ${n} if { input.kind == "k${n % 10}" }`,
  )
  assert.deepEqual(x(`${rules.join('\n')}\nx contains "always"`, { input: { kind: 'k3' } }), [
    3,
    13,
    23,
    33,
    43,
    'always',
  ])
  assert.deepEqual(x(`${rules.join('\n')}\nx contains "always"`, { input: {} }), ['always'])
})

test('rego.metadata gives the annotations of rule and package', () => {
  const source = `# METADATA
# title: all
# scope: package
package m

# METADATA
# title: one
# custom:
#   level: 3
x := rego.metadata.rule().custom.level

y := [entry.annotations.title | some entry in rego.metadata.chain()]

z := rego.metadata.rule()
`
  const policy = compile({ modules: [{ file: 'm', source }] })
  assert.equal(policy.decide('data.m.x'), 3)
  assert.deepEqual(policy.decide('data.m.y'), ['all'])
  assert.deepEqual(policy.decide('data.m.z'), {})
})

test('strict mode refuses what is unused or deprecated', () => {
  failsWith('rego.compile', () => x('import data.q\nx := 1', { strict: true }))
  failsWith('rego.compile', () => x('x if { y := 1 }', { strict: true }))
  assert.equal(x('x if { y := 1; y > 0 }', { strict: true }), true)
})

test('a host function that throws ends the evaluation, strict or not', () => {
  const broken = {
    'host.broken': {
      arity: 0,
      call: () => {
        throw new TypeError('down')
      },
    },
  }
  failsWith('rego.host', () => x('x if not host.broken()', { builtins: broken }))
})

test('a host function may evaluate the same policy', () => {
  const builtins = {
    'host.again': {
      arity: 1,
      call: (n: unknown) => (n === 0 ? 0 : policy.decide('data.p.x', { input: 0 })),
    },
  }
  const policy = compile({
    modules: [{ file: 'p', source: 'package p\nx := [input, host.again(input)]' }],
    builtins,
  })
  assert.deepEqual(policy.decide('data.p.x', { input: 1 }), [1, [0, 0]])
})
