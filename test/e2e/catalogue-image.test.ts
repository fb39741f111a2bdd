/** The catalogue's disk image, built for this user's home where it is not there yet, and once more from the same packages. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { before, describe, test } from 'node:test'
import { buildDisk } from '@cloister/image/disk/build-disk'
import type { CatalogueImage } from '@cloister/image/disk/catalogue'
import { ensureCatalogueImage } from '@cloister/image/disk/catalogue'
import { sha256File } from '@cloister/image/files'
import { readLock } from '@cloister/image/inputs'
import { directories } from '@cloister/protocol/directories'

describe('the catalogue image debian-12', () => {
  let image: CatalogueImage
  before(async () => {
    image = await ensureCatalogueImage('debian-12', { directories: directories() })
  })

  test('is what its manifest says, and is used again', async () => {
    assert.equal(await sha256File(image.path), image.sha256)
    assert.equal(image.user, 'debian')
    const names = new Set(image.manifest.inputs.map(({ name }) => name))
    for (const name of ['shim-signed', 'grub-efi-amd64-signed', 'cloud-init', 'openssh-server'])
      assert.ok(names.has(name), name)
    const again = await ensureCatalogueImage('debian-12', { directories: directories() })
    assert.equal(again.reused, true)
    assert.equal(again.sha256, image.sha256)
  })

  test('built again from the same packages, under another umask, has the same bytes', async () => {
    const work = await mkdtemp(join(tmpdir(), 'cloister-disk-test-'))
    const umask = process.umask(0o077)
    try {
      const directory = dirname(image.path)
      const lock = await readLock(directory)
      assert.ok(lock !== undefined)
      const disk = join(work, 'disk.raw')
      await buildDisk({ directory, lock, disk })
      assert.equal(await sha256File(disk), image.sha256)
      assert.deepEqual(await readdir(work), ['disk.raw'])
    } finally {
      process.umask(umask)
      await rm(work, { recursive: true, force: true })
    }
  })
})
