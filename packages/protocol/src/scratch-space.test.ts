import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DEFAULT_SCRATCH_MIB, scratchBlocks } from './scratch-space.ts'

const MIB = 1 << 20

test('blocks, their tags and what dm-integrity keeps for itself fit on the disk, with little to spare', () => {
  for (const mib of [64, 128, 256, 2048, DEFAULT_SCRATCH_MIB, 1 << 20, 1 << 24]) {
    const blocks = scratchBlocks(mib * MIB)
    // Tags lie in whole blocks.
    const used = MIB + 4096 * (blocks + Math.ceil(blocks / 128))
    assert.ok(used <= mib * MIB, `${mib}`)
    assert.ok(used > mib * MIB - 3 * 4096, `${mib}`)
  }
})

test('the number of blocks of a disk of the default size, which the template in guest images is for', () => {
  assert.equal(scratchBlocks(DEFAULT_SCRATCH_MIB * MIB), 2_080_640)
})

test('a disk that has room for nothing has no blocks', () => {
  for (const bytes of [0, 512, MIB, MIB + 4096]) assert.ok(scratchBlocks(bytes) <= 0, `${bytes}`)
})
