import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { copyInputs, readLock, servesRecipe } from './inputs.ts'
import { DATA_PACKAGES, GUEST_PACKAGES } from './recipe.ts'
import { temporaryDirectory } from './testing/temporary-directory.ts'

const CONTENT = 'content of a package'
const LOCK = {
  version: 1 as const,
  packages: [
    {
      name: 'crun',
      version: '1.21-1',
      sha256: createHash('sha256').update(CONTENT).digest('hex'),
      file: 'crun_1.21-1_amd64.deb',
      origin: 'Debian trixie',
    },
  ],
}
const FILES = { 'inputs.lock': JSON.stringify(LOCK), 'packages/crun_1.21-1_amd64.deb': CONTENT }

test('readLock() reads a lock whose packages are all there', async (context) => {
  assert.deepEqual(await readLock(await temporaryDirectory(context, FILES)), LOCK)
})

test('readLock() of a directory without a lock is nothing', async (context) => {
  assert.equal(await readLock(await temporaryDirectory(context)), undefined)
})

test('readLock() refuses a package with other content', async (context) => {
  const directory = await temporaryDirectory(context, FILES)
  await writeFile(join(directory, 'packages/crun_1.21-1_amd64.deb'), 'other content')
  await assert.rejects(readLock(directory), { code: 'guest-image.input-changed' })
})

test('readLock() refuses when a package is missing', async (context) => {
  const directory = await temporaryDirectory(context, FILES)
  await rm(join(directory, 'packages'), { recursive: true })
  await assert.rejects(readLock(directory), { code: 'guest-image.input-missing' })
})

test('readLock() refuses what is no lock, and a file name that leaves the directory', async (context) => {
  const outside = { ...LOCK.packages[0], file: '../../etc/passwd' }
  for (const lock of [{}, { ...LOCK, version: 2 }, { ...LOCK, packages: [outside] }]) {
    const directory = await temporaryDirectory(context, { 'inputs.lock': JSON.stringify(lock) })
    await assert.rejects(readLock(directory), { code: 'guest-image.lock-invalid' })
  }
})

test('servesRecipe() tells a lock of an older recipe, which lacks a package', () => {
  const packages = [...GUEST_PACKAGES, ...DATA_PACKAGES].map((name) => ({
    ...LOCK.packages[0]!,
    name,
  }))
  assert.equal(servesRecipe({ ...LOCK, packages }), true)
  assert.equal(servesRecipe({ ...LOCK, packages: packages.slice(1) }), false)
})

test('copyInputs() copies the lock and its packages', async (context) => {
  const from = await temporaryDirectory(context, FILES)
  const to = await temporaryDirectory(context)
  await copyInputs(LOCK, from, to)
  assert.deepEqual(await readLock(to), LOCK)
})
