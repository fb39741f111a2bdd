import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { FormatError } from '../bytes/format-error.ts'
import { toUtf8 } from '../bytes/text.ts'
import { JsonReader } from './json-reader.ts'

const CHARACTERS = Array.from('{}[],:"\\ 0123456789.-+eEtrufalsn\n')

const passes = (text: string) => {
  const reader = new JsonReader('test', toUtf8(text))
  reader.skip()
  reader.end()
}

test('JsonReader passes what JSON.stringify wrote, with white space too', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(undefined, 1, '\t', '\r\n'), (value, space) => {
      passes(JSON.stringify(value, undefined, space))
    }),
  )
})

test('JsonReader takes no text that JSON.parse does not take', () => {
  const pieces = [...CHARACTERS, '\\u00e9', 'é', '1', '"a"', 'null']
  const text = fc.array(fc.constantFrom(...pieces), { maxLength: 12 }).map((all) => all.join(''))
  fc.assert(
    fc.property(text, (given) => {
      try {
        passes(given)
      } catch (error) {
        if (error instanceof FormatError) return
        throw error
      }
      JSON.parse(given)
    }),
    { numRuns: 20_000 },
  )
})

test('JsonReader refuses bytes that are not UTF-8, and nesting without end', () => {
  const invalid = new JsonReader('test', Uint8Array.of(0x22, 0xff, 0x22))
  assert.throws(() => {
    invalid.skip()
  }, FormatError)
  assert.throws(() => {
    passes('['.repeat(1000))
  }, FormatError)
})

const NAMES = ['a', 'b'] as const

function readObject(text: string): Record<string, number> {
  const reader = new JsonReader('test', toUtf8(text))
  const read: Record<string, number> = {}
  reader.openObject('whole')
  for (let name = reader.member(NAMES); name !== undefined; name = reader.member(NAMES))
    read[name] = reader.number(name, 100)
  reader.end()
  return read
}

test('JsonReader gives the members that are asked for, in any order, and passes others', () => {
  assert.deepEqual(readObject('{"x":[{"a":9}],"b":2 , "a" : 1}'), { a: 1, b: 2 })
  assert.deepEqual(readObject(' { } '), {})
})

test('JsonReader refuses what two readers could understand differently', () => {
  for (const text of [
    '{"a":1,"a":1}',
    '{"\\u0061":1}',
    '{"x\\n":1}',
    '{"a":01}',
    '{"a":1.0}',
    '{"a":-1}',
    '{"a":101}',
    '{"a":1x}',
    '{"a":1,}',
    '{,"a":1}',
    '{"a" 1}',
    '{"a":1}}',
    '{"a":1',
    '{"a',
    '',
  ])
    assert.throws(() => readObject(text), FormatError, text)
})

test('JsonReader reads texts, bytes and lists', () => {
  const reader = new JsonReader('test', toUtf8('["é\\u0041\\n", "0aFF", "two", []]'))
  reader.openList('list')
  assert.ok(reader.entry())
  assert.equal(reader.text('text', 20), 'éA\n')
  assert.ok(reader.entry())
  assert.deepEqual([...reader.hex('hex', 2)], [10, 255])
  assert.ok(reader.entry())
  assert.equal(reader.oneOf('choice', ['one', 'two']), 'two')
  assert.ok(reader.entry())
  reader.openList('inner')
  assert.ok(!reader.entry())
  assert.ok(!reader.entry())
  reader.end()
})
