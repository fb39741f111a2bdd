import assert from 'node:assert/strict'
import { test } from 'node:test'
import { areaFor, roomIn } from './room.ts'

test('areaFor() gives the smallest area that has the room', () => {
  for (const mib of [1, 63, 500, 10_000, 1 << 20]) {
    const area = areaFor(mib * 2 ** 20)
    assert.ok(roomIn(area) >= mib * 2 ** 20)
    assert.ok(roomIn(area - 2 * 2 ** 20) < mib * 2 ** 20)
  }
  assert.equal(roomIn(1 << 20), 0)
})
