import assert from 'node:assert/strict'
import { chmod, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import { checkGuestImageOnce } from './checked-image.ts'
import { loadGuestImage } from './images.ts'
import { imageFiles } from './testing/manifest.ts'
import { temporaryDirectory } from './testing/temporary-directory.ts'

test('checkGuestImageOnce() reads again what was changed, though size and time are put back', async (context) => {
  const directory = await temporaryDirectory(context, imageFiles())
  const image = await loadGuestImage(directory)
  const path = join(directory, 'root.img')
  const { atime, mtime, size } = await stat(path)
  await checkGuestImageOnce(image)
  await checkGuestImageOnce(image)
  await writeFile(path, 'x'.repeat(size))
  await utimes(path, atime, mtime)
  for (let round = 0; round < 2; round++)
    await assert.rejects(checkGuestImageOnce(image), {
      code: 'guest-image.corrupt',
    })
  await rm(path)
  await assert.rejects(checkGuestImageOnce(image), { code: 'guest-image.corrupt' })
})

test('checkGuestImageOnce() believes nothing that stands in its place', async (context) => {
  for (const text of ['', '[]\n', 'x'.repeat(1000)]) {
    const files = { ...imageFiles(), 'root.img': 'wrong', 'checked.json': text }
    const directory = await temporaryDirectory(context, files)
    await chmod(join(directory, 'checked.json'), 0o400)
    await assert.rejects(checkGuestImageOnce(await loadGuestImage(directory)), {
      code: 'guest-image.corrupt',
    })
  }
})
