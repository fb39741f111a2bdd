import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { LineSplitter } from './line-splitter.ts'

test('LineSplitter gives whole lines however the bytes are cut', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ maxLength: 20 }).map((text) => text.replaceAll('\n', '.'))),
      fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1 }),
      (lines, cuts) => {
        const splitter = new LineSplitter(100)
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''))
        const found: string[] = []
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const end = at + (cuts[turn % cuts.length] ?? 1)
          found.push(...splitter.push(bytes.subarray(at, end)))
          at = end
        }
        assert.deepEqual(found, lines)
        assert.equal(splitter.overflowed, false)
      },
    ),
  )
})

test('LineSplitter drops a line that is too long and goes on after it', () => {
  const splitter = new LineSplitter(4)
  assert.deepEqual(splitter.push(Buffer.from('12345')), [])
  assert.deepEqual(splitter.push(Buffer.from('6\nab\n')), ['ab'])
  assert.equal(splitter.overflowed, true)
})

test('LineSplitter joins what comes byte by byte', () => {
  const splitter = new LineSplitter(1000)
  for (const byte of Buffer.from('x'.repeat(500))) splitter.push(Buffer.of(byte))
  assert.deepEqual(splitter.push(Buffer.from('\n')), ['x'.repeat(500)])
})
