import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'

import { imageFiles } from './testing/manifest.ts'
import { temporaryDirectory } from './testing/temporary-directory.ts'
import { compare, verifyGuestImage } from './verify.ts'

test('compare() names each member that differs, is absent or is new', () => {
  const recorded = { kernel: { size: 1, sha256: 'a' }, inputs: [{ name: 'x' }], old: true }
  const rebuilt = { kernel: { size: 2, sha256: 'a' }, inputs: [{ name: 'x' }, { name: 'y' }] }
  assert.deepEqual(compare(recorded, rebuilt), [
    { member: 'kernel.size', recorded: '1', rebuilt: '2' },
    { member: 'old', recorded: 'true' },
    { member: 'inputs.1.name', rebuilt: 'y' },
  ])
})

test('compare() of equal values is empty', () => {
  assert.deepEqual(compare({ a: [1, { b: 'c' }] }, { a: [1, { b: 'c' }] }), [])
})

test('verifyGuestImage() refuses an image without its inputs before it builds anything', async (context) => {
  const directory = await temporaryDirectory(context, imageFiles())
  await assert.rejects(verifyGuestImage(join(directory, 'manifest.json')), {
    code: 'guest-image.input-missing',
  })
})

test('verifyGuestImage() refuses an image whose files were changed', async (context) => {
  const directory = await temporaryDirectory(context, { ...imageFiles(), vmlinuz: 'another' })
  await assert.rejects(verifyGuestImage(join(directory, 'manifest.json')), {
    code: 'guest-image.corrupt',
  })
})
