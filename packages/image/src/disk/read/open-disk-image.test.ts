import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, open, readFile, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { crc32 } from 'node:zlib'

import { call, makeExt, makeFat, missingTools } from '../../testing/disk-file.ts'
import { partitionDisk } from '../partition.ts'
import { openDiskImage, requireEsp, requireRoot } from './open-disk-image.ts'

const skip = missingTools('mke2fs', 'mkfs.vfat', 'mcopy', 'sfdisk')
const LARGE = randomBytes((3 << 20) + 17)
const LONG_NAME = 'a name with blanks and Größe.efi'
const ESP_FILES = {
  'EFI/BOOT/BOOTX64.EFI': LARGE.subarray(0, 300_001),
  'EFI/debian/grub.cfg': 'configfile x\n',
  [`EFI/${LONG_NAME}`]: 'long',
}

describe('openDiskImage()', { skip }, () => {
  const work = mkdtempSync(join(tmpdir(), 'cloister-disk-read-'))
  const disk = join(work, 'disk.raw')
  after(() => {
    rmSync(work, { recursive: true, force: true })
  })

  before(async () => {
    const tree = join(work, 'tree')
    await mkdir(join(tree, 'usr/lib/modules'), { recursive: true })
    await mkdir(join(tree, 'etc/many'), { recursive: true })
    await mkdir(join(tree, 'boot'))
    await writeFile(join(tree, 'boot/vmlinuz-1'), LARGE)
    await writeFile(join(tree, 'usr/lib/os-release'), 'ID=test\n')
    await writeFile(join(tree, 'etc/empty'), '')
    await writeFile(join(tree, 'etc/sparse'), 'start')
    await truncate(join(tree, 'etc/sparse'), 5_000_000)
    for (let index = 0; index < 900; index++)
      await writeFile(join(tree, `etc/many/${'f'.repeat(40)}${index}`), `${index}`)
    await symlink('usr/lib', join(tree, 'lib'))
    await symlink('/boot/vmlinuz-1', join(tree, 'vmlinuz'))
    await symlink('../../../../usr/lib/os-release', join(tree, 'etc/os-release'))
    await symlink(`${'./'.repeat(40)}usr/lib/os-release`, join(tree, 'long-link'))
    await symlink('loop', join(tree, 'loop'))
    await makeFat(join(work, 'esp'), join(work, 'files'), 32, ESP_FILES)
    await makeExt(join(work, 'root'), tree, 'ext4')
    await partitionDisk(disk, { esp: join(work, 'esp'), root: join(work, 'root') }, {})
  })

  test('reads table, ESP and root', async () => {
    await using image = await openDiskImage(disk, 'raw')
    assert.deepEqual(
      image.partitions.map(({ number, name }) => [number, name]),
      [
        [1, 'esp'],
        [2, 'root'],
      ],
    )
    const esp = requireEsp(image)
    assert.deepEqual(await esp.read('/efi/boot/bootx64.efi'), ESP_FILES['EFI/BOOT/BOOTX64.EFI'])
    assert.equal((await esp.read(`/EFI/${LONG_NAME}`)).toString(), 'long')
    assert.equal(await esp.has('/EFI/absent'), false)
    const root = requireRoot(image)
    assert.deepEqual(await root.read('/boot/vmlinuz-1'), LARGE)
    assert.equal((await root.list('/etc/many')).length, 900)
    assert.equal((await root.read(`/etc/many/${'f'.repeat(40)}899`)).toString(), '899')
    const sparse = await root.read('/etc/sparse')
    assert.equal(sparse.length, 5_000_000)
    assert.ok(sparse.subarray(5).every((byte) => byte === 0))
    assert.equal((await root.read('/etc/empty')).length, 0)
  })

  test('follows links, but not out of the image and not forever', async () => {
    await using image = await openDiskImage(disk, 'raw')
    const root = requireRoot(image)
    assert.deepEqual(await root.read('/vmlinuz'), LARGE)
    assert.equal((await root.read('/etc/os-release')).toString(), 'ID=test\n')
    assert.equal((await root.read('/long-link')).toString(), 'ID=test\n')
    assert.equal((await root.read('/../../lib/os-release')).toString(), 'ID=test\n')
    await assert.rejects(root.read('/loop'), { code: 'disk-image.malformed' })
    await assert.rejects(root.read('/etc'), { code: 'disk-image.path-not-found' })
    await assert.rejects(root.read('/etc/passwd'), { code: 'disk-image.path-not-found' })
  })

  test('extracts a file once, and no more than asked', async () => {
    await using image = await openDiskImage(disk, 'raw')
    const root = requireRoot(image)
    const to = join(work, 'kernel')
    assert.equal(await root.extract('/vmlinuz', to), LARGE.length)
    assert.deepEqual(await readFile(to), LARGE)
    await assert.rejects(root.extract('/vmlinuz', to), { code: 'EEXIST' })
    await assert.rejects(root.read('/vmlinuz', 1000), { code: 'disk-image.too-much' })
  })

  for (const kind of ['ext2', 'ext3'] as const)
    test(`reads ${kind}, whose files have maps of blocks`, async () => {
      const root = join(work, `root.${kind}`)
      await makeExt(root, join(work, 'tree'), kind, ['-b', '1024'])
      const other = join(work, `${kind}.raw`)
      await partitionDisk(other, { esp: join(work, 'esp'), root }, {})
      await using image = await openDiskImage(other, 'raw')
      assert.deepEqual(await requireRoot(image).read('/boot/vmlinuz-1'), LARGE)
      assert.equal((await requireRoot(image).read('/etc/sparse')).length, 5_000_000)
    })

  for (const bits of [12, 16] as const)
    test(`reads FAT${bits}`, async () => {
      const esp = join(work, `esp.${bits}`)
      await makeFat(esp, join(work, 'files'), bits, ESP_FILES)
      const other = join(work, `fat${bits}.raw`)
      await partitionDisk(other, { esp, root: join(work, 'root') }, {})
      await using image = await openDiskImage(other, 'raw')
      const files = requireEsp(image)
      assert.deepEqual(await files.read('/EFI/BOOT/BOOTX64.EFI'), ESP_FILES['EFI/BOOT/BOOTX64.EFI'])
      assert.deepEqual((await files.list('/EFI')).map(({ name }) => name).toSorted(), [
        'BOOT',
        LONG_NAME,
        'debian',
      ])
    })

  test('reads qcow2 as QEMU writes it', { skip: missingTools('qemu-img') }, async () => {
    for (const options of [
      ['-c'],
      ['-o', 'compat=0.10'],
      ['-c', '-o', 'compression_type=zstd,cluster_size=16k'],
    ]) {
      const other = join(work, 'disk.qcow2')
      call('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', ...options, disk, other)
      await using image = await openDiskImage(other, 'qcow2')
      assert.deepEqual(await requireRoot(image).read('/boot/vmlinuz-1'), LARGE)
      assert.deepEqual(
        await requireEsp(image).read('/EFI/debian/grub.cfg'),
        Buffer.from('configfile x\n'),
      )
    }
  })

  test('refuses a qcow2 that names another file', { skip: missingTools('qemu-img') }, async () => {
    const other = join(work, 'backed.qcow2')
    call('qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', disk, other)
    await assert.rejects(openDiskImage(other, 'qcow2'), { code: 'disk.backing-file' })
    await assert.rejects(openDiskImage(disk, 'qcow2'), { code: 'disk.malformed' })
  })

  test('refuses tables that lie', async () => {
    const original = (await readFile(disk)).subarray(0, 1 << 20)
    const refuse = async (change: (bytes: Buffer) => void, withChecksums = true) => {
      const bytes = Buffer.from(original)
      change(bytes)
      if (withChecksums) repair(bytes)
      const file = await open(disk, 'r+')
      try {
        await file.write(bytes, 0, bytes.length, 0)
        await assert.rejects(openDiskImage(disk, 'raw'), { code: 'disk-image.malformed' })
        await file.write(original, 0, original.length, 0)
      } finally {
        await file.close()
      }
    }
    await refuse((bytes) => bytes.writeUInt8(1, 512 + 60), false)
    await refuse((bytes) => bytes.writeUInt8(1, 1024 + 60), false)
    await refuse((bytes) => bytes.fill(0, 512, 1024), false)
    await refuse((bytes) => bytes.writeUInt32LE(0xffff_ffff, 512 + 80))
    await refuse((bytes) => bytes.writeUInt32LE(64, 512 + 84))
    await refuse((bytes) => bytes.writeBigUInt64LE(1n << 62n, 512 + 72))
    await refuse((bytes) => bytes.writeBigUInt64LE(1n << 60n, 1024 + 40))
    await refuse((bytes) => bytes.writeBigUInt64LE(2048n, 1024 + 128 + 32))
  })

  test('ends with a code, whatever a byte of the file systems is', async () => {
    const bytes = await readFile(disk)
    const spoiled = join(work, 'spoiled.raw')
    const espStart = 1 << 20
    const rootStart = espStart + (40 << 20)
    let seed = 12_345
    const random = (below: number) => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
      return seed % below
    }
    await writeFile(spoiled, bytes)
    await using file = await open(spoiled, 'r+')
    // The head of the ESP, then superblock, tables and directories of the root.
    const parts = [
      [espStart, 8192],
      [rootStart + 1024, 400_000],
    ] as const
    for (let round = 0; round < 60; round++) {
      for (const [start, length] of parts) {
        const copy = Buffer.from(bytes.subarray(start, start + length))
        for (let change = 0; change < 40 * (round % 8); change++)
          copy.writeUInt8(random(256), random(length))
        await file.write(copy, 0, length, start)
      }
      try {
        await using image = await openDiskImage(spoiled, 'raw', { timeoutMs: 20_000 })
        await image.esp?.read('/EFI/BOOT/BOOTX64.EFI')
        await image.root?.read('/etc/os-release')
        await image.root?.read('/boot/vmlinuz-1')
      } catch (error) {
        assert.match(String((error as { code?: unknown }).code), /^disk-image\./)
      }
    }
  })

  test('says what it does not read, and what there is not', async () => {
    const bare = join(work, 'bare.raw')
    await writeFile(
      join(work, 'xfs'),
      Buffer.concat([Buffer.from('XFSB'), Buffer.alloc(2 << 20)]).subarray(0, 2 << 20),
    )
    await partitionDisk(bare, { esp: join(work, 'esp'), root: join(work, 'xfs') }, {})
    await using image = await openDiskImage(bare, 'raw')
    assert.deepEqual(image.unreadable, ['xfs'])
    assert.throws(() => requireRoot(image), { code: 'disk-image.no-root' })
    await assert.rejects(openDiskImage(join(work, 'absent'), 'raw'), { code: 'disk.not-found' })
    await assert.rejects(openDiskImage(work, 'raw'), { code: 'disk.unreadable' })
    const signal = AbortSignal.abort(new Error('stopped'))
    await assert.rejects(openDiskImage(disk, 'raw', { signal }), { message: 'stopped' })
    await using late = await openDiskImage(disk, 'raw', { timeoutMs: 200 })
    await sleep(250)
    await assert.rejects(requireRoot(late).read('/vmlinuz'), { code: 'disk-image.too-much' })
  })
})

/** Makes the checksums of a table those of what it says. */
function repair(bytes: Buffer): void {
  const count = Math.min(bytes.readUInt32LE(512 + 80), 128)
  bytes.writeUInt32LE(crc32(bytes.subarray(1024, 1024 + count * 128)), 512 + 88)
  bytes.writeUInt32LE(0, 512 + 16)
  bytes.writeUInt32LE(crc32(bytes.subarray(512, 512 + 92)), 512 + 16)
}
