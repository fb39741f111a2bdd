import assert from 'node:assert/strict'
import { test } from 'node:test'
import { releasingFull } from './decompressor.ts'

test('a decompressor that comes back to memory given back ends the layer, and loses nothing of it silently', async () => {
  // As one of another Node could: it fills the same memory again and again.
  async function* reusing() {
    const memory = Buffer.from(new ArrayBuffer(8))
    yield* [memory.subarray(0, 4), memory.subarray(4), memory.subarray(0, 4)]
  }
  const seen: number[] = []
  const read = async () => {
    for await (const { length } of releasingFull(reusing())) seen.push(length)
  }
  await assert.rejects(read, TypeError)
  assert.deepEqual(seen, [4, 4])
})
