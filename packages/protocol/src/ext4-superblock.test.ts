import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HASH_SEED_BYTES, setHashSeed } from './ext4-superblock.ts'

function block(): Buffer {
  const bytes = Buffer.alloc(4096)
  bytes.writeUInt16LE(0xef53, 1024 + 0x38)
  bytes.writeUInt8(1, 1024 + 0x175)
  return bytes
}

test('the seed is set and the checksum is that of CRC-32C, without its inversion', () => {
  const bytes = block()
  setHashSeed(bytes, Buffer.alloc(HASH_SEED_BYTES, 7))
  assert.deepEqual(bytes.subarray(1024 + 0xec, 1024 + 0xfc), Buffer.alloc(16, 7))
  // By a division that is written the other way round, which gives e3069283 for "123456789" as it must.
  assert.equal(bytes.readUInt32LE(1024 + 0x3fc), 0xf531774)
})

test('what is no superblock with a checksum is left as it is', () => {
  const seed = Buffer.alloc(HASH_SEED_BYTES)
  const [noMagic, noChecksum] = [block(), block()]
  noMagic[1024 + 0x38] = 0
  noChecksum[1024 + 0x175] = 0
  for (const bytes of [noMagic, noChecksum, block().subarray(0, 2000)]) {
    const before = Buffer.from(bytes)
    assert.throws(() => setHashSeed(bytes, seed), RangeError)
    assert.ok(before.equals(bytes))
  }
  assert.throws(() => setHashSeed(block(), Buffer.alloc(4)), RangeError)
})
