import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IdleCollection } from './idle-collection.ts'

test('IdleCollection collects once after the start, once after a load, and again when its sessions have ended', () => {
  let collected = 0
  let ended = 0
  using memory = new IdleCollection({ sweep: () => ended, collect: () => (collected += 1) })
  const after = (requests: number) => {
    for (let n = 0; n < requests; n++) memory.count()
    memory.look()
    return collected
  }
  assert.deepEqual([0, 5, 1000, 1000, 5, 0, 0].map(after), [1, 1, 1, 1, 2, 2, 2])
  ended = 500
  assert.equal(after(0), 3)
})

test('IdleCollection waits with what the start left until nobody asks', () => {
  let collected = 0
  using memory = new IdleCollection({ sweep: () => 0, collect: () => (collected += 1) })
  for (let n = 0; n < 100; n++) memory.count()
  memory.look()
  assert.equal(collected, 0)
  memory.look()
  assert.equal(collected, 1)
})

test('IdleCollection gives memory back', () => {
  using memory = new IdleCollection({ sweep: () => 1000 })
  memory.look()
  const held: string[][] = []
  for (let n = 0; n < 50; n++) held.push(Array.from({ length: 10_000 }, (_, at) => `${n} ${at}`))
  const before = process.memoryUsage().heapUsed
  held.length = 0
  memory.look()
  assert.ok(process.memoryUsage().heapUsed < before - 10_000_000)
})
