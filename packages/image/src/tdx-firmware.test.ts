import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FormatError } from '@cloister/verifier/bytes/format-error'
import { guidToBytes } from '@cloister/verifier/formats/guid'
import { withoutVariables } from './tdx-firmware.ts'

/** A volume of one page with a store of 0x800 bytes in it, and code behind. */
function firmware(): Buffer {
  const bytes = Buffer.alloc(0x2000, 0x90)
  bytes.write('_FVH', 40, 'latin1')
  bytes.writeUInt16LE(0x48, 48)
  bytes.set(guidToBytes('aaf32c78-947b-439a-a180-2e144ec37792'), 0x48)
  bytes.writeUInt32LE(0x800, 0x48 + 16)
  return bytes
}

test('the variables are gone, and nothing else', () => {
  const before = firmware()
  const after = Buffer.from(withoutVariables(before))
  const [begin, end] = [0x48 + 28, 0x48 + 0x800]
  assert.deepEqual(after.subarray(0, begin), before.subarray(0, begin))
  assert.ok(after.subarray(begin, end).every((byte) => byte === 0xff))
  assert.deepEqual(after.subarray(end), before.subarray(end))
  assert.ok(
    before.subarray(begin, end).every((byte) => byte === 0x90),
    'the input is left alone',
  )
})

test('a file without such a store is refused', () => {
  const changed = (change: (bytes: Buffer) => void) => {
    const bytes = firmware()
    change(bytes)
    return bytes
  }
  for (const wrong of [
    Buffer.alloc(16),
    changed((bytes) => bytes.fill(0, 40, 44)),
    changed((bytes) => bytes.fill(0, 0x48, 0x58)),
    changed((bytes) => bytes.writeUInt32LE(0x10_0000, 0x48 + 16)),
    changed((bytes) => bytes.writeUInt32LE(4, 0x48 + 16)),
    changed((bytes) => bytes.writeUInt16LE(0xffff, 48)),
  ])
    assert.throws(() => withoutVariables(wrong), FormatError)
})
