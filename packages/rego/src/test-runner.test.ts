import assert from 'node:assert/strict'
import { test } from 'node:test'
import { opaEval } from './opa-eval.ts'
import { compile } from './policy.ts'
import { runTests } from './test-runner.ts'

const SOURCE = `package p_test

allow if input.user == "admin"

test_allows if allow with input.user as "admin"

test_fails if allow with input.user as "guest"

test_conflict := n if { some n in [1, 2] }

todo_test_later if false
`

test('runTests() tells what passed, failed and why', () => {
  const results = runTests(compile({ modules: [{ file: 'p_test.rego', source: SOURCE }] }))
  assert.deepEqual(
    results.map(({ name, outcome, row }) => [name, outcome, row]),
    [
      ['data.p_test.test_allows', 'pass', 5],
      ['data.p_test.test_fails', 'fail', 7],
      ['data.p_test.test_conflict', 'error', 9],
      ['data.p_test.todo_test_later', 'skip', 11],
    ],
  )
  assert.match(results[1]?.why ?? '', /input\.user = "guest"/)
})

test('opaEval() prints results and errors as opa eval does', () => {
  const policy = compile({ modules: [] })
  assert.deepEqual(JSON.parse(opaEval(policy, 'x := {1}').text), {
    result: [
      {
        expressions: [{ value: true, text: 'x := {1}', location: { row: 1, col: 1 } }],
        bindings: { x: [1] },
      },
    ],
  })
  assert.equal(opaEval(policy, 'input.a').text, '{}\n')
  const failed = opaEval(policy, 'x')
  assert.equal(failed.failed, true)
  assert.equal(
    (JSON.parse(failed.text) as { errors: { code: string }[] }).errors[0]?.code,
    'rego.unsafe-var',
  )
})
