import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { ensureCatalogueImage, listCatalogueImages } from './catalogue.ts'
import { RECIPE_REVISION } from './debian-12.ts'

const DIGEST = 'ab'.repeat(32)
const DIRECTORY = 'disks/debian-12'
const MANIFEST = {
  version: 1,
  name: 'debian-12',
  recipeRevision: RECIPE_REVISION,
  epoch: 1_700_000_000,
  architecture: 'x86_64',
  kernelRelease: '6.12.1-cloud-amd64',
  user: 'debian',
  disk: { file: 'disk.raw', format: 'raw', sha256: DIGEST, size: 4 },
  inputs: [],
}

test('ensureCatalogueImage() uses the image that is there', async (context) => {
  const images = await temporaryDirectory(context, {
    [`${DIRECTORY}/disk.json`]: JSON.stringify(MANIFEST),
    [`${DIRECTORY}/disk.raw`]: 'disk',
  })
  const image = await ensureCatalogueImage('debian-12', { directories: { images } })
  assert.equal(image.reused, true)
  assert.equal(image.path, join(images, DIRECTORY, 'disk.raw'))
  assert.equal(image.sizeBytes, 4)
  assert.deepEqual(await listCatalogueImages({ images }), [image])
})

test('listCatalogueImages() leaves out what is cut short or has no manifest', async (context) => {
  const short = await temporaryDirectory(context, {
    [`${DIRECTORY}/disk.json`]: JSON.stringify(MANIFEST),
    [`${DIRECTORY}/disk.raw`]: 'dis',
  })
  const bare = await temporaryDirectory(context, { [`${DIRECTORY}/disk.raw`]: 'disk' })
  for (const images of [short, bare]) assert.deepEqual(await listCatalogueImages({ images }), [])
})

test('ensureCatalogueImage() names what it does not know, and stops when told to', async (context) => {
  const images = await temporaryDirectory(context)
  const unknown = ensureCatalogueImage('debian-11', { directories: { images } })
  await assert.rejects(unknown, { code: 'catalogue-image.unknown' })
  const signal = AbortSignal.abort(new Error('stopped'))
  const stopped = ensureCatalogueImage('debian-12', { directories: { images }, signal })
  await assert.rejects(stopped, { message: 'stopped' })
  assert.deepEqual(await readdir(join(images, 'disks')), [])
})
