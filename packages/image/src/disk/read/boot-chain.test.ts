import assert from 'node:assert/strict'
import { test } from 'node:test'

import type { DiskFiles } from './disk-files.ts'
import type { DiskImage } from './open-disk-image.ts'
import { isThere, notFound } from './disk-files.ts'
import { kernelLines, readBootChain } from './boot-chain.ts'

const CONFIGURATION = `menuentry 'x' {
  linux   /boot/vmlinuz-2 root=UUID=1  ro
  initrd /boot/initrd.img-2
}
# linux /boot/vmlinuz-9
\tlinuxefi /boot/vmlinuz-1 single
`
const ESP = {
  'EFI/BOOT/BOOTX64.EFI': 'shim',
  'EFI/BOOT/grubx64.efi': 'grub',
  'EFI/debian/grub.cfg': 'configfile /boot/grub/grub.cfg\n',
}
const ROOT = {
  'boot/vmlinuz-1': 'one',
  'boot/vmlinuz-2': 'two',
  'boot/initrd.img-2': 'initrd',
  'boot/config-2': 'config',
  'boot/grub/grub.cfg': CONFIGURATION,
  'boot/grub/fonts/unicode.pf2': 'font',
}

/** A file system in memory. */
function files(content: Readonly<Record<string, string>>): DiskFiles {
  const list = async (path: string) => {
    const prefix = path === '/' ? '' : `${path.slice(1)}/`
    const below = Object.keys(content).filter((name) => name.startsWith(prefix))
    if (below.length === 0) throw notFound(path)
    const names = new Set(below.map((name) => name.slice(prefix.length).split('/')[0] ?? ''))
    return [...names].map((name) => {
      const isFile = content[prefix + name] !== undefined
      return { name, kind: isFile ? ('file' as const) : ('directory' as const) }
    })
  }
  const read = async (path: string) => {
    const text = content[path.slice(1)]
    if (text === undefined) throw notFound(path)
    return Buffer.from(text)
  }
  return {
    kind: 'test',
    list,
    read,
    extract: async () => 0,
    has: async (path) => (await isThere(read(path))) || (await isThere(list(path))),
  }
}

function image(esp: Readonly<Record<string, string>>, root: Readonly<Record<string, string>>) {
  const table = { diskId: '', partitions: [], header: Buffer.alloc(92), usedEntries: [] }
  return { table, esp: files(esp), root: files(root), unreadable: [] } as unknown as DiskImage
}

test('kernelLines() are the arguments of linux commands, with one blank between words', () => {
  assert.deepEqual(kernelLines(CONFIGURATION), [
    '/boot/vmlinuz-2 root=UUID=1 ro',
    '/boot/vmlinuz-1 single',
  ])
})

test('readBootChain() finds shim, GRUB, the kernel of the first entry, and what GRUB reads', async () => {
  const chain = await readBootChain(image(ESP, ROOT))
  assert.equal(chain.isWholeChain, true)
  assert.deepEqual(
    chain.images.map(({ component, path }) => [component, path]),
    [
      ['shim', '/EFI/BOOT/BOOTX64.EFI'],
      ['grub', '/EFI/BOOT/grubx64.efi'],
      ['kernel', '/boot/vmlinuz-2'],
    ],
  )
  assert.deepEqual(chain.files.map(({ component, path }) => `${component} ${path}`).toSorted(), [
    'grub configuration /EFI/debian/grub.cfg',
    'grub configuration /boot/grub/grub.cfg',
    'grub file /boot/grub/fonts/unicode.pf2',
    'initrd /boot/initrd.img-2',
    'kernel /boot/vmlinuz-1',
    'kernel /boot/vmlinuz-2',
  ])
  assert.equal(chain.commandLines.length, 2)
})

test('readBootChain() claims nothing of what it cannot know', async () => {
  const withFallback = await readBootChain(image({ ...ESP, 'EFI/BOOT/fbx64.efi': 'x' }, ROOT))
  assert.deepEqual([withFallback.isWholeChain, withFallback.files.length], [false, 0])
  assert.deepEqual(
    withFallback.images.map(({ component }) => component),
    ['boot loader'],
  )
  const scripted = { ...ROOT, 'boot/grub/grub.cfg': 'linux /boot/vmlinuz-2 root=$root\n' }
  assert.deepEqual((await readBootChain(image(ESP, scripted))).commandLines, [])
  const bare = await readBootChain(image({ 'EFI/debian/grub.cfg': '' }, ROOT)).catch(
    () => undefined,
  )
  assert.equal(bare, undefined)
})
