import { mkdtemp, open, readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { directories } from '@cloister/protocol/directories'
import { isCode } from '@cloister/protocol/testing'
import { findProgram } from '../setup/requirements.ts'
import {
  importDiskImage,
  listDiskImages,
  openDiskImage,
  removeDiskImage,
} from './disk-catalogue.ts'

const hasQemuImg = findProgram('qemu-img') !== undefined

describe('the catalogue', { skip: hasQemuImg ? false : 'no qemu-img on this host' }, async () => {
  const home = await mkdtemp(join(tmpdir(), 'cl-disks-'))
  after(() => rm(home, { recursive: true, force: true }))
  const places = directories({ CLOISTER_HOME: home })
  const signal = AbortSignal.timeout(60_000)
  const options = { directories: places, signal, talk: () => undefined }
  const source = join(home, 'source.raw')
  await writeFile(source, masterBootRecord())
  await truncate(source, 1 << 20)

  test('takes an image in under a name, and finds it again by that name', async () => {
    const entry = await importDiskImage(source, 'mine', { ...options, user: 'admin' })
    assert.deepEqual([entry.kind, entry.format, entry.virtualBytes], ['imported', 'qcow2', 1 << 20])
    assert.deepEqual(await listDiskImages(places), [entry])
    const opened = await openDiskImage('mine', options)
    assert.deepEqual([opened.path, opened.user, opened.sha256], [entry.path, 'admin', entry.sha256])
  })

  test('refuses a name that is taken or none, and leaves nothing', async () => {
    await assert.rejects(importDiskImage(source, 'mine', options), isCode('vm.image-name-taken'))
    await assert.rejects(
      importDiskImage(source, 'debian-12', options),
      isCode('vm.image-name-taken'),
    )
    await assert.rejects(importDiskImage(source, '../up', options), isCode('cli.usage'))
    const absent = importDiskImage(join(home, 'absent'), 'other', options)
    await assert.rejects(absent, isCode('disk.not-found'))
    assert.deepEqual(await readdir(join(places.images, 'disks')), ['mine'])
  })

  test('takes a file by its path, and says when there is none', async () => {
    assert.deepEqual(await openDiskImage(source, options), { name: 'source.raw', path: source })
    await assert.rejects(openDiskImage('nothing', options), isCode('vm.image-unknown'))
    await assert.rejects(openDiskImage(home, options), isCode('vm.image-unknown'))
  })

  test('finds out that an image was changed, and removes it', async () => {
    const { path } = await openDiskImage('mine', options)
    await using file = await open(path, 'r+')
    await file.write(Buffer.from('x'), 0, 1, 100)
    await assert.rejects(openDiskImage('mine', options), isCode('vm.image-damaged'))
    await removeDiskImage(places, 'mine')
    await assert.rejects(removeDiskImage(places, 'mine'), isCode('vm.image-unknown'))
    assert.deepEqual(await listDiskImages(places), [])
  })
})

/** A sector that marks a disk with partitions: its last two bytes. */
function masterBootRecord(): Buffer {
  const sector = Buffer.alloc(512)
  sector.writeUInt16BE(0x55aa, 510)
  return sector
}
