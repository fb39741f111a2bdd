import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { FormatError } from '../bytes/format-error.ts'
import { fromUtf8, toUtf8 } from '../bytes/text.ts'
import { jsonMemberSpan } from './json-span.ts'

const spanOf = (text: string, member: string) =>
  fromUtf8('test', 'span', jsonMemberSpan(toUtf8(text), member))

test('jsonMemberSpan() gives the exact text of a member of the outermost object', () => {
  assert.equal(spanOf('{"a":1,"b": {"a" : [2, "}"]} }', 'b'), '{"a" : [2, "}"]}')
  assert.equal(spanOf('{"a":{"b":1},"b":"x\\"y"}', 'b'), '"x\\"y"')
  assert.equal(spanOf('{ "b" : null }', 'b'), 'null')
  assert.equal(spanOf('{"x":"b","b":2}', 'b'), '2')
})

test('jsonMemberSpan() refuses a member that is missing or stands twice', () => {
  for (const text of [
    '{}',
    '{"a":{"b":1}}',
    '["b"]',
    '{"b":1,"b":2}',
    '',
    '{"b"',
    '}{"b":1',
    '"b":1',
  ])
    assert.throws(() => spanOf(text, 'b'), FormatError, text)
})

test('jsonMemberSpan() finds what JSON.stringify wrote, whatever stands around it', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), fc.boolean(), (value, other, first) => {
      const text = JSON.stringify(first ? { wanted: value, other } : { other, wanted: value })
      assert.equal(spanOf(text, 'wanted'), JSON.stringify(value))
    }),
  )
})
