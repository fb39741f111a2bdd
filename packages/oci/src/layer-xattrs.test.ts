import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { test, type TestContext } from 'node:test'
import { paxHeader, tarFile, type TestEntry } from './testing/tar-file.ts'
import { temporaryDirectory } from '../test/temporary-directory.ts'
import { RootfsWriter } from './rootfs-writer.ts'
import { setXattrs } from './set-xattrs.ts'
import { TarReader } from './tar-reader.ts'
import { UNPACK_LIMITS, type UnpackLimits, type UnpackUsage } from './unpack-limits.ts'

/** cap_net_raw, permitted and effective. */
const NET_RAW = Buffer.from('0100000200200000000000000000000000000000', 'hex').toString('latin1')
const REFUSED = { code: 'image.entry-refused' }
const LIMIT = { code: 'image.limit-exceeded' }

test('file capabilities and user attributes are set, on any path, after owner and mode', async (t) => {
  const root = new XattrRoot(t)
  if (!root.isAble) return
  await root.apply([
    withXattrs({ 'security.capability': NET_RAW, 'user.note': 'ü\n"=\\' }),
    { name: 'bin/ping', content: 'x', mode: 0o4755, uid: 7, gid: 8 },
    paxHeader({ 'SCHILY.xattr.user.empty': '', path: 'odd/ü \n\\ name' }),
    { name: 'odd', content: 'x' },
    withXattrs({ 'user.of': 'a directory' }),
    { name: 'bin/', type: '5', mode: 0o755 },
  ])
  assert.deepEqual(root.read('bin/ping'), {
    'security.capability': base64(NET_RAW),
    'user.note': base64('ü\n"=\\'),
  })
  assert.deepEqual(root.read('odd/ü \n\\ name'), { 'user.empty': '' })
  assert.deepEqual(root.read('bin'), { 'user.of': base64('a directory') })
  assert.equal(root.usage.skippedXattrs, 0)
})

test('attributes that steer the kernel or overlayfs, and those of links, are left out and counted', async (t) => {
  const root = new XattrRoot(t)
  if (!root.isAble) return
  await root.apply([
    withXattrs({
      'trusted.overlay.opaque': 'y',
      'user.overlay.redirect': '/etc',
      'security.selinux': 'x',
      'security.ima': 'x',
      'system.posix_acl_access': 'x',
      'user.kept': '1',
    }),
    { name: 'file' },
    withXattrs({ 'user.of': 'a link' }),
    { name: 'link', type: '2', linkName: 'file' },
  ])
  assert.deepEqual(root.read('file'), { 'user.kept': 'MQ==' })
  assert.equal(root.usage.skippedXattrs, 6)
})

test('attributes go with what they were given to: not to what replaced it, nor through a link', async (t) => {
  const root = new XattrRoot(t)
  if (!root.isAble) return
  mkdirSync(`${root.outside}/victim`)
  await root.apply([
    withXattrs({ 'user.a': '1' }),
    { name: 'replaced' },
    { name: 'replaced', content: 'by another' },
    withXattrs({ 'user.a': '1' }),
    { name: 'd/victim/', type: '5' },
    { name: 'd', type: '2', linkName: root.outside },
  ])
  assert.deepEqual(root.read('replaced'), {})
  assert.deepEqual(root.readAbsolute(`${root.outside}/victim`), {})
})

test('odd names, capabilities that are none and too much are refused', async (t) => {
  const root = new XattrRoot(t)
  const refuses = async (xattrs: Record<string, string>, limits?: Partial<UnpackLimits>) => {
    await assert.rejects(
      () => root.apply([withXattrs(xattrs), { name: 'file' }], limits),
      limits === undefined ? REFUSED : LIMIT,
    )
  }
  await refuses({ 'user.a\nuser.b': '1' })
  await refuses({ 'user.\\012': '1' })
  await refuses({ [`user.${'x'.repeat(251)}`]: '1' })
  await refuses({ 'security.capability': 'too short' })
  await refuses({ 'user.a': '1', 'user.b': '2' }, { xattrs: 1 })
  await refuses({ 'user.a': 'x'.repeat(100) }, { xattrBytes: 99 })
  await refuses({ 'user.a': 'x'.repeat((64 << 10) + 1) }, {})
})

test('what the file system does not take is refused with its reason', async (t) => {
  const root = new XattrRoot(t)
  if (!root.isAble) return
  const unknownRevision = '\0'.repeat(20)
  const entries = [withXattrs({ 'security.capability': unknownRevision }), { name: 'file' }]
  await assert.rejects(() => root.apply(entries), REFUSED)
})

test('a program that does not run is no fault of the image', async (t) => {
  const root = new XattrRoot(t)
  const entries = [withXattrs({ 'user.a': '1' }), { name: 'file' }]
  await assert.rejects(root.apply(entries, {}, '/absent/setfattr'), { code: 'internal.bug' })
})

const base64 = (text: string) => Buffer.from(text).toString('base64')

function withXattrs(xattrs: Readonly<Record<string, string>>): TestEntry {
  return paxHeader(
    Object.fromEntries(
      Object.entries(xattrs).map(([name, value]) => [`SCHILY.xattr.${name}`, value]),
    ),
  )
}

class XattrRoot {
  readonly outside: string
  readonly root: string
  /** Else the test is skipped. */
  readonly isAble: boolean
  usage: UnpackUsage = { bytes: 0, entries: 0, skippedXattrs: 0 }

  constructor(t: TestContext) {
    this.outside = temporaryDirectory(t)
    this.root = `${this.outside}/root`
    mkdirSync(this.root)
    const probe = ['-n', 'security.capability', '-v', `0s${base64(NET_RAW)}`]
    const probed = [probe, ['-n', 'user.a', '-v', '1']].map(
      (words) => spawnSync('setfattr', [...words, this.outside]).status,
    )
    for (const name of ['user.a', 'security.capability'])
      spawnSync('setfattr', ['-x', name, this.outside])
    this.isAble = probed.every((status) => status === 0)
    if (!this.isAble)
      t.skip('needs root, setfattr (package attr) and a file system with extended attributes')
  }

  async apply(
    entries: readonly TestEntry[],
    limits: Partial<UnpackLimits> = {},
    program = '/usr/bin/setfattr',
  ): Promise<void> {
    using writer = new RootfsWriter(this.root, {
      limits: { ...UNPACK_LIMITS, ...limits },
      usage: this.usage,
      hasLowerLayers: false,
      preserveOwnership: true,
      takeXattrs: true,
    })
    const reader = new TarReader(writer)
    reader.write(tarFile(entries))
    reader.end()
    await setXattrs(program, this.root, writer.finish())
  }

  /** Values in base64. */
  read(path: string): Record<string, string> {
    return this.readAbsolute(`${this.root}/${path}`)
  }

  readAbsolute(path: string): Record<string, string> {
    const options = ['-h', '-d', '-m', '-', '-e', 'base64', '--absolute-names']
    const { stdout } = spawnSync('getfattr', [...options, path], { encoding: 'utf8' })
    const lines = stdout.split('\n').filter((line) => line.includes('=') && !line.startsWith('#'))
    return Object.fromEntries(
      lines.map((line) => {
        const at = line.indexOf('=')
        return [line.slice(0, at), line.slice(at + 1).replace(/^0s/, '')]
      }),
    )
  }
}
