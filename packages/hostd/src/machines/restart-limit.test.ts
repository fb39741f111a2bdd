import assert from 'node:assert/strict'
import { test } from 'node:test'
import { nextRestart } from './restart-limit.ts'

test('nextRestart() waits ever longer, then gives up', () => {
  const pauses: (number | undefined)[] = []
  let inARow = 0
  for (let round = 0; round < 7; round++) {
    const next = nextRestart(inARow, 30_000)
    pauses.push(next.pauseMs)
    inARow = next.inARow
  }
  assert.deepEqual(pauses, [0, 2_000, 4_000, 8_000, 16_000, undefined, undefined])
})

test('nextRestart() counts anew after a long run', () => {
  assert.deepEqual(nextRestart(5, 600_000), { inARow: 1, pauseMs: 0 })
  assert.deepEqual(nextRestart(1, 599_999), { inARow: 2, pauseMs: 2_000 })
})
