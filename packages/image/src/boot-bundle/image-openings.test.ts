import assert from 'node:assert/strict'
import { mkdir, open, stat, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test, type TestContext } from 'node:test'

import { RawSource } from '../disk/read/block-source.ts'
import { Ext4Files } from '../disk/read/ext4.ts'
import { makeExt, missingTools } from '../testing/disk-file.ts'
import { temporaryDirectory } from '../testing/temporary-directory.ts'
import type { DiskFiles } from '../disk/read/disk-files.ts'
import { findOpenings } from './image-openings.ts'

const skip = missingTools('mke2fs')

/** What a Debian cloud image has. */
const CLOSED = {
  'etc/passwd': 'root:x:0:0::/root:/bin/bash\ndebian:x:1000:1000::/home/debian:/bin/bash\n',
  'etc/shadow': 'root:*:19000:0:99999:7:::\ndebian:!:19000::::::\nsync:!*:19000::::::\n',
  'etc/fstab': 'UUID=a / ext4 defaults 0 1\n# /dev/vdb none swap sw 0 0\n',
  'usr/lib/systemd/systemd': '',
  'usr/lib/systemd/system/serial-getty@.service':
    "[Service]\nExecStart=-/sbin/agetty -o '-p -- \\\\u' --keep-baud 115200,57600,38400,9600 - $TERM\n",
  'usr/lib/systemd/system/debug-shell.service':
    '[Service]\nExecStart=/bin/sh\nStandardInput=tty\nTTYPath=/dev/tty9\n',
  'etc/systemd/system/getty@tty1.service.d/noclear.conf':
    '[Service]\n#ExecStart=agetty --autologin x\n',
}

async function openings(
  t: TestContext,
  change: Readonly<Record<string, string | undefined>>,
  links: Readonly<Record<string, string>> = {},
) {
  const directory = await temporaryDirectory(t)
  const tree = join(directory, 'tree')
  for (const [path, content] of Object.entries({ ...CLOSED, ...change })) {
    if (content === undefined) continue
    await mkdir(dirname(join(tree, path)), { recursive: true })
    await writeFile(join(tree, path), content)
  }
  for (const [path, target] of Object.entries(links)) {
    await mkdir(dirname(join(tree, path)), { recursive: true })
    await symlink(target, join(tree, path))
  }
  const image = join(directory, 'root.img')
  await makeExt(image, tree, 'ext4')
  await using file = await open(image, 'r')
  const root = await Ext4Files.open(new RawSource(file, (await stat(image)).size))
  assert.ok(root)
  return await findOpenings(root)
}

test('findOpenings() finds none in an image as distributions make them', { skip }, async (t) => {
  assert.deepEqual(await openings(t, {}), { consoleLogins: [], swaps: [] })
})

const AUTOLOGIN = '[Service]\nExecStart=\nExecStart=-/sbin/agetty \\\n --autologin debian - $TERM\n'
const OPEN: Readonly<Record<string, readonly [Readonly<Record<string, string>>, RegExp]>> = {
  'an empty password': [
    { 'etc/shadow': 'root::19000:0:99999:7:::\n' },
    /^\/etc\/shadow: root has an empty password$/,
  ],
  'an empty password in passwd': [
    { 'etc/passwd': 'root:x:0:0::/root:/bin/bash\nme::7:7::/:/bin/sh\n' },
    /^\/etc\/passwd: me /,
  ],
  'a drop-in that logs in': [
    { 'etc/systemd/system/serial-getty@ttyS0.service.d/a.conf': AUTOLOGIN },
    /serial-getty@ttyS0\.service\.d\/a\.conf: a terminal logs in by itself/,
  ],
  'a unit of its own in the place of getty': [
    {
      'etc/systemd/system/serial-getty@ttyS0.service': '[Service]\nExecStart=/bin/login -f root\n',
    },
    /logs in by itself/,
  ],
  'a login of its own under another name': [
    {
      'etc/systemd/system/console.service':
        '[Service]\nExecStart=/sbin/agetty --autologin root ttyS0\n',
    },
    /console\.service: a terminal logs in by itself/,
  ],
  'a shell by another program on a terminal': [
    {
      'etc/systemd/system/mine.service':
        '[Service]\nExecStart=/usr/bin/env bash\nStandardInput=tty-force\n',
    },
    /mine\.service: a terminal logs in/,
  ],
  'a shell on a terminal': [
    {
      'etc/systemd/system/mine.service':
        '[Service]\nExecStart=-/usr/bin/bash\nStandardInput=tty\nTTYPath=/dev/ttyS0\n',
    },
    /mine\.service: a terminal logs in/,
  ],
  'a failed boot that asks nobody': [
    {
      'etc/systemd/system/emergency.service.d/x.conf':
        '[Service]\nEnvironment=SYSTEMD_SULOGIN_FORCE=1\n',
    },
    /failed boot gives a root shell/,
  ],
  'a shell by inittab': [
    { 'etc/inittab': 'tty1::respawn:/sbin/getty 38400 tty1\nttyS0::respawn:-/bin/sh\n' },
    /^\/etc\/inittab: ttyS0::respawn:-\/bin\/sh$/,
  ],
}

for (const [name, [change, wanted]] of Object.entries(OPEN))
  test(`findOpenings() finds ${name}`, { skip }, async (t) => {
    const { consoleLogins } = await openings(t, change)
    assert.equal(consoleLogins.length, 1, consoleLogins.join('; '))
    assert.match(consoleLogins[0] ?? '', wanted)
  })

test(
  'findOpenings() follows links: an enabled debug shell, a drop-in that lies elsewhere',
  { skip },
  async (t) => {
    const { consoleLogins } = await openings(
      t,
      { 'opt/auto.conf': AUTOLOGIN },
      {
        'etc/systemd/system/sysinit.target.wants/debug-shell.service':
          '/lib/systemd/system/debug-shell.service',
        'etc/systemd/system/getty@tty1.service.d/b.conf': '/opt/auto.conf',
        'etc/systemd/system/getty@tty2.service': '/dev/null',
      },
    )
    assert.equal(consoleLogins.length, 2, consoleLogins.join('; '))
    assert.match(consoleLogins.join(), /debug-shell\.service: a root shell/)
  },
)

test('findOpenings() leaves accounts alone that have no shell', { skip }, async (t) => {
  const passwd = 'games:x:5:60::/usr/games:/usr/sbin/nologin\n'
  const { consoleLogins } = await openings(t, {
    'etc/passwd': passwd,
    'etc/shadow': 'games::1::::::\n',
  })
  assert.deepEqual(consoleLogins, [])
})

test(
  'findOpenings() counts swap where no systemd is told to leave it alone',
  { skip },
  async (t) => {
    const fstab = { 'etc/fstab': 'UUID=a / ext4 defaults 0 1\nUUID=s none swap sw 0 0\n' }
    assert.deepEqual((await openings(t, fstab)).swaps, [])
    const { swaps } = await openings(t, { ...fstab, 'usr/lib/systemd/systemd': undefined })
    assert.deepEqual(swaps, ['/etc/fstab: UUID=s none swap sw 0 0'])
  },
)

test('findOpenings() refuses an image of more units than it looks at', async () => {
  const units = Array.from({ length: 4200 }, (_, n) => `a${n}.service`)
  const last = '/etc/systemd/system/z.service'
  const files: Pick<DiskFiles, 'has' | 'list' | 'read'> = {
    has: (path) => Promise.resolve(path.endsWith('/systemd') || path === '/etc/systemd/system'),
    list: () => Promise.resolve([...units, 'z.service'].map((name) => ({ name, kind: 'file' }))),
    read: (path) => Promise.resolve(Buffer.from(path === last ? AUTOLOGIN : '')),
  }
  await assert.rejects(findOpenings(files as DiskFiles), {
    code: 'disk-image.too-much',
    details: { where: '/etc/systemd/system', expected: '4096 units and drop-ins at most' },
  })
})
