import assert from 'node:assert/strict'
import { test } from 'node:test'

import { decodeCpio, encodeCpio } from './cpio.ts'

const ENTRIES = [
  { path: 'bin', directory: true },
  { path: 'bin/sh', content: Buffer.from('#!'), executable: true },
  { path: 'epoch', content: Buffer.from('12345') },
] as const

test('encodeCpio() writes the header of a newc entry, field by field', () => {
  const archive = encodeCpio(ENTRIES.slice(2), 0x12345678)
  assert.equal(
    archive.toString('latin1', 0, 110),
    `070701${[1, 0o100644, 0, 0, 1, 0x12345678, 5, 0, 0, 0, 0, 6, 0]
      .map((value) => value.toString(16).padStart(8, '0'))
      .join('')}`,
  )
  assert.equal(archive.toString('latin1', 110, 116), 'epoch\0')
  assert.equal(archive.toString('latin1', 116, 124), '12345\0\0\0')
})

test('encodeCpio() aligns every entry to 4 bytes and ends with a trailer in a whole block', () => {
  const archive = encodeCpio(ENTRIES, 1)
  const starts = [...archive.toString('latin1').matchAll(/070701/g)].map(({ index }) => index)
  assert.equal(starts.length, ENTRIES.length + 1)
  for (const start of starts) assert.equal(start % 4, 0)
  assert.equal(archive.length % 512, 0)
  assert.ok(archive.includes('TRAILER!!!\0'))
})

test('encodeCpio() gives directories, programs and files their modes, and root as the owner', () => {
  const archive = encodeCpio(ENTRIES, 1).toString('latin1')
  const modes = [...archive.matchAll(/070701.{8}(.{8})(.{8})(.{8})/gs)].map(
    ([, mode, uid, gid]) => [Number.parseInt(mode!, 16).toString(8), uid, gid],
  )
  const owner = ['00000000', '00000000']
  assert.deepEqual(modes.slice(0, 3), [
    ['40755', ...owner],
    ['100755', ...owner],
    ['100644', ...owner],
  ])
})

test('encodeCpio() gives the same bytes for the same entries', () => {
  assert.deepEqual(encodeCpio(ENTRIES, 7), encodeCpio(ENTRIES, 7))
})

test('decodeCpio() gives back what encodeCpio() took, and refuses anything else', () => {
  const archive = encodeCpio(ENTRIES, 7)
  assert.deepEqual(encodeCpio(decodeCpio(archive), 7), archive)
  assert.throws(() => decodeCpio(archive.subarray(0, archive.length - 1024)), RangeError)
  assert.throws(() => decodeCpio(archive.subarray(1)), RangeError)
  const link = Buffer.from(archive)
  link.write('0000a1ff', 14, 'latin1')
  assert.throws(() => decodeCpio(link), RangeError)
  const long = Buffer.from(archive)
  long.write('7fffffff', 54, 'latin1')
  assert.throws(() => decodeCpio(long), RangeError)
})
