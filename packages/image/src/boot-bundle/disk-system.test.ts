import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'

import type { CloisterError } from '@cloister/protocol/error'
import { isCode } from '@cloister/protocol/testing'

import { temporaryDirectory } from '../testing/temporary-directory.ts'
import { otherMounts, readDiskSystem } from './disk-system.ts'
import { SYSTEM_TOOLS } from './ext-files.ts'

const MIB = 1 << 20
const START_MIB = 2
const noTools: string | false = ['mke2fs', 'sfdisk', 'debugfs'].every(
  (tool) => spawnSync(tool, ['-V'], { env: SYSTEM_TOOLS }).error === undefined,
)
  ? false
  : 'e2fsprogs or sfdisk is not installed'

const SYSTEM = {
  'etc/os-release': 'ID=test\n',
  'etc/fstab': '# comment\nUUID=a / ext4 defaults 0 1\nUUID=b /boot/efi vfat umask=0077 0 1\n',
  'etc/cloud/cloud.cfg.d/05.cfg': '',
  'sbin/init': '#!',
  'usr/sbin/qemu-ga': '#!',
  'boot/vmlinuz-6.9.0-test': 'old kernel',
  'boot/vmlinuz-6.12.0-test': 'new kernel',
  'usr/lib/modules/6.9.0-test/modules.builtin': 'old',
  'usr/lib/modules/6.12.0-test/modules.builtin': 'new',
  'usr/lib/modules/6.13.0-other/modules.builtin': 'no kernel of it',
}

async function makeDisk(
  directory: string,
  files: Readonly<Record<string, string>>,
): Promise<string> {
  const tree = join(directory, 'tree')
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(tree, path, '..'), { recursive: true })
    await writeFile(join(tree, path), content)
  }
  const call = (program: string, args: readonly string[], input?: string) => {
    const { status, stderr } = spawnSync(program, args, { env: SYSTEM_TOOLS, input })
    assert.equal(status, 0, stderr.toString())
  }
  const root = join(directory, 'root.img')
  await writeFile(root, Buffer.alloc(16 * MIB))
  call('mke2fs', ['-q', '-t', 'ext4', '-d', tree, root])
  const disk = join(directory, 'disk.raw')
  await writeFile(
    disk,
    Buffer.concat([Buffer.alloc(START_MIB * MIB), await readFile(root), Buffer.alloc(MIB)]),
  )
  const table = `label: gpt\nstart=2048,size=2048\nstart=${START_MIB * 2048},size=${16 * 2048}\n`
  call('sfdisk', ['--quiet', '--no-reread', '--no-tell-kernel', disk], table)
  return disk
}

test(
  'readDiskSystem() finds the root, its newest kernel with modules, and what else is in it',
  { skip: noTools },
  async (context) => {
    const directory = await temporaryDirectory(context)
    const disk = await makeDisk(directory, SYSTEM)
    const work = join(directory, 'work')
    await mkdir(work)
    const { kernel, ...system } = await readDiskSystem(disk, work, {})
    assert.deepEqual(system, {
      partition: 2,
      root: { image: disk, offset: START_MIB * MIB },
      rootBytes: 16 * MIB,
      init: '/sbin/init',
      otherMounts: ['/boot/efi'],
      hasCloudInit: true,
      hostAgents: ['/usr/sbin/qemu-ga'],
      openings: { consoleLogins: [], swaps: [] },
    })
    assert.equal(kernel.release, '6.12.0-test')
    assert.equal(await readFile(kernel.image, 'utf8'), 'new kernel')
    const builtin = join(kernel.tree, 'usr/lib/modules/6.12.0-test/modules.builtin')
    assert.equal(await readFile(builtin, 'utf8'), 'new')
  },
)

test(
  'readDiskSystem() refuses a disk without root, kernel, init or table',
  { skip: noTools },
  async (context) => {
    const directory = await temporaryDirectory(context)
    const without = (part: string) =>
      Object.fromEntries(Object.entries(SYSTEM).filter(([path]) => !path.includes(part)))
    const cases = [
      ['os-release', 'vm-boot.root-missing'],
      ['vmlinuz', 'vm-boot.kernel-missing'],
      ['sbin/init', 'vm-boot.init-missing'],
    ] as const
    for (const [part, code] of cases) {
      await mkdir(join(directory, code, 'work'), { recursive: true })
      const disk = await makeDisk(join(directory, code), without(part))
      await assert.rejects(readDiskSystem(disk, join(directory, code, 'work'), {}), isCode(code))
    }
    for (const [name, offset, mark] of [
      ['xfs', 0, 'XFSB'],
      ['btrfs', 65_600, '_BHRfS_M'],
    ] as const) {
      const disk = await makeDisk(await mkdtemp(join(directory, 'other-')), SYSTEM)
      const bytes = await readFile(disk)
      bytes.fill(0, START_MIB * MIB, START_MIB * MIB + 128 * 1024)
      bytes.write(mark, START_MIB * MIB + offset)
      await writeFile(disk, bytes)
      await assert.rejects(readDiskSystem(disk, directory, {}), (error: CloisterError) => {
        assert.deepEqual([error.code, error.details.received], ['vm-boot.file-system-unfit', name])
        return true
      })
    }
    const blank = join(directory, 'blank.raw')
    await writeFile(blank, Buffer.alloc(MIB))
    await assert.rejects(readDiskSystem(blank, directory, {}), isCode('vm-boot.root-missing'))
  },
)

test(
  'readDiskSystem() counts a cloud-init that cannot be configured among what takes orders from the host',
  {
    skip: noTools,
  },
  async (context) => {
    const directory = await temporaryDirectory(context)
    const { 'etc/cloud/cloud.cfg.d/05.cfg': _folder, ...others } = SYSTEM
    const disk = await makeDisk(directory, { ...others, 'usr/bin/cloud-init': '#!' })
    const work = join(directory, 'work')
    await mkdir(work)
    const { hasCloudInit, hostAgents } = await readDiskSystem(disk, work, {})
    assert.equal(hasCloudInit, false)
    assert.deepEqual(hostAgents, ['/usr/sbin/qemu-ga', '/usr/bin/cloud-init'])
  },
)

test('otherMounts() leaves out the root, swap, and what has no device', () => {
  const fstab = `
    LABEL=x /srv ext4 defaults 0 2
    /dev/vda3 none swap sw 0 0
    tmpfs /tmp tmpfs defaults 0 0
    //server/share /mnt cifs defaults 0 0`
  assert.deepEqual(otherMounts(fstab), ['/srv'])
})
