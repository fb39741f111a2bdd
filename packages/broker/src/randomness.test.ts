import assert from 'node:assert/strict'
import { test } from 'node:test'
import { takeRandom } from './randomness.ts'

test('takeRandom() gives nothing twice, and what it gave is not changed by what comes after', () => {
  const given = Array.from({ length: 2000 }, (_, n) => takeRandom(12 + (n % 40)))
  const texts = given.map((bytes) => bytes.toString('hex'))
  assert.equal(new Set(texts.map((text) => text.slice(0, 24))).size, given.length)
  assert.deepEqual(
    given.map(({ length }) => length),
    given.map((_, n) => 12 + (n % 40)),
  )
  takeRandom(4096)
  for (const [n, bytes] of given.entries()) assert.equal(bytes.toString('hex'), texts[n])
  const bits = given.reduce(
    (sum, bytes) => sum + bytes.reduce((ones, byte) => ones + (byte & 1), 0),
    0,
  )
  const all = given.reduce((sum, { length }) => sum + length, 0)
  assert.ok(Math.abs(bits / all - 0.5) < 0.02)
})

test('takeRandom() refuses more than it has at once', () => {
  assert.throws(() => takeRandom(4097), RangeError)
})
