import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { FormatError } from '../bytes/format-error.ts'
import { toUtf8 } from '../bytes/text.ts'
import { parseCompactJson, parseJson } from './json-text.ts'

const refused = (text: string) => {
  assert.throws(() => parseJson('test', text), FormatError, text.slice(0, 80))
}

test('parseJson() reads what JSON.stringify wrote as JSON.parse does', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(undefined, 1, '\t', '\r\n'), (value, space) => {
      const text = JSON.stringify(value, undefined, space)
      assert.deepEqual(parseJson('test', text), JSON.parse(text))
      assert.deepEqual(parseJson('test', toUtf8(text)), JSON.parse(text))
    }),
  )
})

test('parseJson() takes no text that JSON.parse does not take, and reads the others alike', () => {
  const marks = Array.from('{}[],:"\\ 0123456789.-+eEtrufalsn\n')
  const pieces = [...marks, '\\u00e9', 'é', '"a"', '"b":', 'null']
  const text = fc.array(fc.constantFrom(...pieces), { maxLength: 12 }).map((all) => all.join(''))
  fc.assert(
    fc.property(text, (given) => {
      let value: unknown
      try {
        value = parseJson('test', given)
      } catch (error) {
        if (error instanceof FormatError) return
        throw error
      }
      assert.deepEqual(value, JSON.parse(given))
    }),
    { numRuns: 20_000 },
  )
})

test('parseJson() refuses a name that stands twice, however it is spelt', () => {
  for (const text of [
    '{"a":1,"a":1}',
    '{"a":1,"\\u0061":1}',
    '{"x":[{"a":1,"b":2,"a":1}]}',
    '{"__proto__":1,"__proto__":2}',
    '{"toString":1,"toString":2}',
  ])
    refused(text)
  assert.deepEqual(parseJson('test', '{"a":{"a":1},"b":{"a":1}}'), { a: { a: 1 }, b: { a: 1 } })
})

test('parseJson() changes no prototype', () => {
  const value = parseJson('test', '{"__proto__":{"polluted":1}}') as object
  assert.deepEqual(Object.keys(value), ['__proto__'])
  assert.equal(Object.getPrototypeOf(value), Object.prototype)
  assert.equal(({} as Record<string, unknown>)['polluted'], undefined)
})

test('parseJson() refuses nesting without end, and more values than the text pays for', () => {
  refused('['.repeat(1000))
  refused(`${'[['.repeat(20)}${']]'.repeat(20)}`)
  refused(`[${'{},'.repeat(2000)}{}]`)
  refused(`{${Array.from({ length: 2000 }, (_, index) => `"${index}":1`).join()}}`)
  const long = Array.from({ length: 2000 }, (_, index) => ({
    [`member ${index}`]: 'x'.repeat(400),
  }))
  assert.deepEqual(parseJson('test', JSON.stringify(long)), long)
})

test('parseCompactJson() makes bytes of lists of bytes, and words of long numbers', () => {
  const read = (text: string) => parseCompactJson('test', text)
  assert.deepEqual(read('[1, 0,255 ,\n7]'), Uint8Array.of(1, 0, 255, 7))
  for (const text of ['[]', '[256]', '[1,-1]', '[1.5]', '[1,"a"]', '[1,[2]]', '[1,null]']) {
    const list = JSON.parse(text) as unknown[]
    assert.equal((read(text) as unknown[]).length, list.length)
    assert.ok(Array.isArray(read(text)), text)
  }
  for (const text of ['[01]', '[1,]', '[,1]', '[1 2]', '[1,2', '[', '[ ]]'])
    assert.throws(() => read(text), FormatError, text)
  assert.deepEqual(read('{"a":18446744073709551615,"b":9007199254740991,"c":1e400}'), {
    a: 18_446_744_073_709_551_615n,
    b: Number.MAX_SAFE_INTEGER,
    c: Number.POSITIVE_INFINITY,
  })
  assert.equal(parseJson('test', '18446744073709551615'), 18_446_744_073_709_552_000)
})
