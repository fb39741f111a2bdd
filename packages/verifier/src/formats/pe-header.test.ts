import assert from 'node:assert/strict'
import { test } from 'node:test'
import { authenticodeDigest } from './authenticode.ts'
import { peSections } from './pe-sections.ts'

/** A DOS header that leads to a PE header of one section, which has four bytes at the end of the file. */
function image(): Buffer {
  const bytes = Buffer.alloc(132)
  bytes.writeUInt16LE(0x5a4d, 0)
  bytes.writeUInt32LE(64, 60)
  bytes.writeUInt32LE(0x4550, 64)
  bytes.writeUInt16LE(1, 70)
  bytes.write('.x', 88)
  bytes.writeUInt32LE(4, 96)
  bytes.writeUInt32LE(4, 104)
  bytes.writeUInt32LE(128, 108)
  bytes.write('data', 128)
  return bytes
}

test('peSections() reads a section, and refuses what is not PE or lies outside of the file', () => {
  assert.deepEqual([...peSections(image())], [['.x', Buffer.from('data')]])
  const broken: readonly [string, (bytes: Buffer) => void, RegExp][] = [
    ['MZ', (bytes) => bytes.writeUInt16LE(0, 0), /not MZ/],
    ['PE', (bytes) => bytes.writeUInt32LE(0, 64), /not PE/],
    ['sections', (bytes) => bytes.writeUInt16LE(97, 70), /more than 96/],
    ['start', (bytes) => bytes.writeUInt32LE(129, 108), /outside of the file/],
  ]
  for (const [, change, wanted] of broken) {
    const bytes = image()
    change(bytes)
    assert.throws(() => peSections(bytes), wanted)
  }
})

test('authenticodeDigest() goes by the same headers', async () => {
  const bytes = image()
  bytes.writeUInt16LE(0, 0)
  await assert.rejects(authenticodeDigest(bytes, 'SHA-256'), /not MZ/)
})
