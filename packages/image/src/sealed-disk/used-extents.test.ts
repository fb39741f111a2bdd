import assert from 'node:assert/strict'
import { test } from 'node:test'

import { isCode } from '@cloister/protocol/testing'

import { extentsIn } from './used-extents.ts'

const HEAD =
  'Free blocks:              5\nBlock count:              16\nBlock size:               4096\n'
const BYTES = 16 * 4096

test('extentsIn() gives what no list of free blocks names', () => {
  const listing = `${HEAD}Group 0:\n  Free blocks: 2-3, 7\nGroup 1:\n  Free blocks: \nGroup 2:\n  Free blocks: 14-15\n`
  assert.deepEqual(extentsIn(listing, BYTES), [
    { offset: 0, bytes: 2 * 4096 },
    { offset: 4 * 4096, bytes: 3 * 4096 },
    { offset: 8 * 4096, bytes: 6 * 4096 },
  ])
  assert.deepEqual(extentsIn(HEAD, BYTES), [{ offset: 0, bytes: BYTES }])
})

test('extentsIn() takes whole sectors where blocks are smaller', () => {
  const listing = 'Block count:  16\nBlock size:  1024\n  Free blocks: 2-9\n'
  assert.deepEqual(extentsIn(listing, 16 * 1024), [
    { offset: 0, bytes: 4096 },
    { offset: 2 * 4096, bytes: 2 * 4096 },
  ])
})

test('extentsIn() refuses a listing that is none, runs backwards or leaves the file system', () => {
  for (const listing of [
    '',
    `${HEAD}  Free blocks: x\n`,
    `${HEAD}  Free blocks: 5-3\n`,
    `${HEAD}  Free blocks: 4-5, 2\n`,
    `${HEAD}  Free blocks: 10-16\n`,
    HEAD.replace('16', '17'),
  ])
    assert.throws(() => extentsIn(listing, BYTES), isCode('guest-image.tool-failed'), listing)
})
