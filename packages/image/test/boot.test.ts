import assert from 'node:assert/strict'
import { copyFile, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { before, describe, test, type TestContext } from 'node:test'

import type { GuestImage } from '../src/images.ts'
import { imageVersion } from '../src/recipe.ts'
import { temporaryDirectory } from '../src/testing/temporary-directory.ts'
import { bootGuest, disk, noQemu, port } from './boot-guest.ts'
import { testImage } from './test-image.ts'

describe('a guest', { skip: noQemu, concurrency: 2 }, () => {
  let image: GuestImage
  before(async () => {
    image = await testImage('boot')
  })
  const line = (mode: 'simulated' | 'hardware' | 'probe') => image.manifest.commandLines[mode]

  test('boots to its agent with a closed kernel, the named drivers alone, and no console', async () => {
    // Behind the time of the image, which the initrd makes the least.
    const devices = ['-rtc', 'base=2016-01-01T00:00:00']
    const boot = await bootGuest(image, { commandLine: line('simulated'), devices })
    assert.deepEqual(boot.stages, ['initrd', 'modules', 'verity', 'root', 'agent'])
    assert.equal(boot.failure, undefined)
    assert.equal(boot.serial, '')
    const facts = JSON.parse(boot.said[0]!) as Record<string, unknown>
    const { epoch, root } = image.manifest
    assert.equal(facts['pid1'], '/usr/bin/busybox sh /usr/lib/cloister/supervise')
    assert.match(String(facts['node']), /^v24\./)
    assert.match(String(facts['lockdown']), /\[confidentiality\]/)
    assert.equal(facts['modulesDisabled'], '1')
    assert.equal(facts['moduleRefused'], true)
    assert.equal(facts['kexecDisabled'], '1')
    assert.equal(facts['sysrq'], '0')
    assert.equal(facts['corePattern'], '|/bin/false')
    assert.match(String(facts['coreLimit']), /^0 +0$/)
    assert.equal(facts['ptraceScope'], '2')
    assert.equal(facts['swaps'], 0)
    assert.equal(facts['consoles'], '')
    assert.deepEqual(facts['virtioDrivers'], [
      'virtio_blk',
      'virtio_console',
      'virtio_net',
      'virtio_rproc_serial',
    ])
    const pciDrivers = facts['pciDrivers'] as string[]
    assert.ok(pciDrivers.includes('virtio-pci'))
    assert.ok(!pciDrivers.includes('nvme'))
    assert.ok(!(facts['fileSystems'] as string[]).includes('virtiofs'))
    assert.ok(!(facts['fileSystems'] as string[]).includes('9p'))
    assert.deepEqual((facts['rootMount'] as string[])[2], 'erofs')
    assert.equal(facts['rootWritable'], false)
    assert.match(
      String(facts['verity']),
      new RegExp(`${root.verity.rootHash}.*panic_on_corruption`),
    )
    assert.match(String(facts['address']), / 10\.0\.2\.15\/24 /)
    assert.match(String(facts['route']), /^default via 10\.0\.2\.2 /)
    assert.deepEqual(facts['image'], { imageVersion: imageVersion(epoch), epoch })
    assert.ok(Number(facts['clock']) >= epoch)
    assert.equal(boot.said[1], 'read')
  })

  test('stops at a second port of one name', async (context) => {
    const second = join(await temporaryDirectory(context), 'second')
    // Debian's QEMU refuses the very same name, which a hostile one would not; a blank at the end is not part of a name.
    const devices = port('second', second, 'cloister.agent ')
    const boot = await bootGuest(image, { commandLine: line('simulated'), devices })
    assert.equal(boot.failure, 'guest-boot.port-duplicate')
    assert.deepEqual(boot.stages, ['initrd'])
  })

  test('stops at a second disk of one name', async (context) => {
    const file = join(await temporaryDirectory(context, { disk: Buffer.alloc(4096) }), 'disk')
    const devices = disk('second', file, 'cloister-scratch')
    const boot = await bootGuest(image, { commandLine: line('simulated'), devices })
    assert.equal(boot.failure, 'guest-boot.disk-duplicate')
  })

  test('in hardware mode stops without a TEE', async () => {
    const boot = await bootGuest(image, { commandLine: line('hardware') })
    assert.equal(boot.failure, 'guest-boot.tee-absent')
    assert.ok(!boot.stages.includes('agent'))
  })

  test('started as a probe writes its first stage and powers off', async () => {
    const boot = await bootGuest(image, { commandLine: line('probe') })
    assert.deepEqual(boot.stages, ['initrd'])
    assert.equal(boot.failure, undefined)
  })

  test('stops at a command line without a mode, and at one that asks for a shell', async () => {
    for (const commandLine of [
      line('simulated').replace('cloister.mode=simulated', 'cloister.mode=shell'),
      line('simulated').replace(/cloister\.root=\S+/, 'cloister.root=;sh'),
    ]) {
      const boot = await bootGuest(image, { commandLine })
      assert.equal(boot.failure, 'guest-boot.command-line-invalid')
    }
  })

  test('does not use a root whose first block was changed', async (context) => {
    const root = await damagedRoot(context, image, () => 1024)
    const boot = await bootGuest(image, { commandLine: line('simulated'), root })
    assert.ok(!boot.stages.includes('agent'))
    assert.deepEqual(boot.said, [])
  })

  test('ends when a block of the root that it reads later was changed', async (context) => {
    const root = await damagedRoot(context, image, (content) => lastCertificate(content))
    const boot = await bootGuest(image, { commandLine: line('simulated'), root })
    assert.ok(boot.stages.includes('agent'))
    assert.equal(boot.said.length, 1)
  })
})

/** In the certificate bundle, far from what the boot reads; Node, later in the image, has certificates of its own. */
function lastCertificate(content: Buffer): number {
  return content.lastIndexOf('-----BEGIN CERT', content.indexOf('\x7fELF', 0, 'latin1'))
}

/** A copy of the root with one bit changed in its data blocks. */
async function damagedRoot(
  context: TestContext,
  { paths, manifest }: GuestImage,
  choose: (content: Buffer) => number,
): Promise<string> {
  const copy = join(await temporaryDirectory(context), 'root.img')
  await copyFile(paths.root, copy)
  const content = (await readFile(copy)).subarray(0, manifest.root.verity.hashOffset)
  const offset = choose(content)
  await using file = await open(copy, 'r+')
  await file.write(Buffer.of(content[offset]! ^ 1), 0, 1, offset)
  return copy
}
