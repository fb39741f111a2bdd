import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { checkGuestImage, listGuestImages, loadGuestImage } from './images.ts'
import { imageFiles } from './testing/manifest.ts'
import { temporaryDirectory } from './testing/temporary-directory.ts'

test('loadGuestImage() gives the manifest and absolute paths', async (context) => {
  const directory = await temporaryDirectory(context, imageFiles())
  const { manifest, paths } = await loadGuestImage(directory)
  assert.equal(manifest.name, 'base')
  assert.deepEqual(paths, {
    kernel: join(directory, 'vmlinuz'),
    initrd: join(directory, 'initrd.cpio'),
    root: join(directory, 'root.img'),
  })
})

test('loadGuestImage() says whether there is no image or one that cannot be read', async (context) => {
  const absent = await temporaryDirectory(context)
  await assert.rejects(loadGuestImage(absent), { code: 'guest-image.not-found' })
  for (const text of ['{', '{}', JSON.stringify({ version: 2 })]) {
    const damaged = await temporaryDirectory(context, { 'manifest.json': text })
    await assert.rejects(loadGuestImage(damaged), { code: 'guest-image.manifest-invalid' })
  }
})

test('loadGuestImage() refuses a manifest for another architecture', async (context) => {
  const files = imageFiles({ architecture: 'aarch64' as 'x86_64' })
  const directory = await temporaryDirectory(context, files)
  await assert.rejects(loadGuestImage(directory), { code: 'guest-image.manifest-invalid' })
})

test('loadGuestImage() refuses a manifest whose files lie elsewhere', async (context) => {
  for (const file of ['../vmlinuz', '/boot/vmlinuz', 'a/b', '..']) {
    const initrd = { file, sha256: '0'.repeat(64), size: 1 }
    const directory = await temporaryDirectory(context, imageFiles({ initrd }))
    await assert.rejects(loadGuestImage(directory), { code: 'guest-image.manifest-invalid' })
  }
})

test('checkGuestImage() passes files that are as the manifest says', async (context) => {
  const directory = await temporaryDirectory(context, imageFiles())
  await checkGuestImage(await loadGuestImage(directory))
})

test('checkGuestImage() refuses a changed, a cut and a missing file', async (context) => {
  const changes = [
    (path: string) => writeFile(path, 'r00t'),
    (path: string) => writeFile(path, 'roo'),
    (path: string) => rm(path),
  ]
  for (const change of changes) {
    const directory = await temporaryDirectory(context, imageFiles())
    await change(join(directory, 'root.img'))
    const image = await loadGuestImage(directory)
    await assert.rejects(checkGuestImage(image), { code: 'guest-image.corrupt' })
  }
})

test('listGuestImages() lists what can be read, by name, and no unfinished build', async (context) => {
  const images = await temporaryDirectory(context, {
    'broken/manifest.json': '{',
    ...below('second', imageFiles({ name: 'second' })),
    ...below('first', imageFiles({ name: 'first' })),
    ...below('.unfinished.1.x', imageFiles({ name: 'third' })),
  })
  const names = (await listGuestImages(images)).map(({ manifest }) => manifest.name)
  assert.deepEqual(names, ['first', 'second'])
  assert.deepEqual(await listGuestImages(join(images, 'absent')), [])
})

function below(folder: string, files: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(files).map(([path, content]) => [`${folder}/${path}`, content]),
  )
}
