import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compile, type EvaluateOptions } from '../policy.ts'
import { explanationText, type Explanation } from './explanation.ts'

const SOURCE = `package policy

default allow := false

allow if {
	input.plugin == "resource"
	some part in input.parts
	part.status == "affirming"
	without_debug(part)
}

allow if {
	input.plugin == "sample"
	every part in input.parts {
		part.status == "affirming"
	}
}

without_debug(part) if {
	not part.debug
}
`
const policy = compile({ modules: [{ file: 'policy.rego', source: SOURCE }] })

function explain(input: object, options: EvaluateOptions = {}): Explanation {
  const { explanation } = policy.evaluate('data.policy.allow', { input, explain: true, ...options })
  assert.ok(explanation)
  return explanation
}

test('the closest rule leads to the nearest cause with the values it saw', () => {
  const parts = [{ status: 'warning' }, { status: 'affirming', debug: true }]
  const { closest } = explain({ plugin: 'resource', parts })
  assert.deepEqual(
    closest.map(({ rule, row, passed, total }) => [rule, row, passed, total]),
    [
      ['data.policy.allow', 5, 3, 4],
      ['data.policy.without_debug', 19, 0, 1],
    ],
  )
  assert.deepEqual(closest.at(-1)?.failed.seen, [{ term: 'part.debug', value: 'true' }])
})

test('every shows the member for which it did not hold', () => {
  const { closest } = explain({
    plugin: 'sample',
    parts: [{ status: 'affirming' }, { status: 'x' }],
  })
  assert.deepEqual(closest.at(-1)?.failed.seen.at(-1), {
    term: 'not for',
    value: '{"status": "x"}',
  })
})

test('explaining changes neither result nor prints', () => {
  for (const input of [{}, { plugin: 'resource', parts: [{ status: 'affirming' }] }]) {
    const plain = policy.evaluate('data.policy.allow', { input })
    const explained = policy.evaluate('data.policy.allow', { input, explain: true })
    assert.deepEqual(explained.result, plain.result)
    assert.deepEqual(explained.prints, plain.prints)
  }
})

test('refs that iterate show what they iterate over', () => {
  const iterating = compile({
    modules: [{ file: 'i', source: 'package i\nx if input.a[_].b == 2' }],
  })
  const { explanation } = iterating.evaluate('data.i.x', {
    input: { a: [{ b: 1 }] },
    explain: true,
  })
  assert.deepEqual(explanation?.closest[0]?.failed.seen, [{ term: 'input.a', value: '[{"b": 1}]' }])
})

test('an allowed request has no closest failure', () => {
  assert.deepEqual(explain({ plugin: 'resource', parts: [{ status: 'affirming' }] }).closest, [])
})

test('secrets are redacted wherever they turn up', () => {
  const secret = 'correct-horse'
  const input = { plugin: `x${secret}`, token: secret, parts: [secret] }
  const text = JSON.stringify(explain(input, { explain: { redact: ['input.token'] } }))
  assert.ok(!text.includes(secret))
  assert.ok(text.includes('[redacted]'))
  assert.ok(JSON.stringify(explain(input)).includes(secret))
})

test('explanationText() ends with the closest cause', () => {
  const text = explanationText(explain({ plugin: 'resource', parts: [] }))
  assert.match(
    text,
    /closest: data\.policy\.allow \(line 5\)\n  line 7: some part in input\.parts\n    input\.parts = \[\]$/,
  )
})

test('errors of built-ins are part of the explanation', () => {
  const broken = compile({ modules: [{ file: 'b', source: 'package b\nx := to_number(input)' }] })
  const { explanation } = broken.evaluate('data.b.x', { input: 'q', explain: true })
  assert.equal(explanation?.builtinErrors[0]?.row, 2)
})
