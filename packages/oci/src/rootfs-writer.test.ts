import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { test, type TestContext } from 'node:test'
import { array, assert as assertProperty, constantFrom, property, record } from 'fast-check'
import { paxHeader, tarFile, type TestEntry } from './testing/tar-file.ts'
import { temporaryDirectory } from '../test/temporary-directory.ts'
import { RootfsWriter, unpackError } from './rootfs-writer.ts'
import { TarReader } from './tar-reader.ts'
import { UNPACK_LIMITS, type UnpackLimits, type UnpackUsage } from './unpack-limits.ts'

const REFUSED = { code: 'image.entry-refused' }
const LIMIT = { code: 'image.limit-exceeded' }

test('files, links, modes and times come out as they were packed', (t) => {
  const rootfs = new TestRootfs(t)
  rootfs.apply([
    { name: './', type: '5', mode: 0o755 },
    { name: 'bin/', type: '5', mode: 0o555, mtime: 5 },
    { name: 'bin/su', content: 'setuid', mode: 0o4755, mtime: 7 },
    { name: 'bin/su2', type: '1', linkName: 'bin/su' },
    { name: 'bin/su3', type: '1', linkName: '/bin/su' },
    { name: 'sbin', type: '2', linkName: 'bin' },
    { name: 'deep/er/file', content: 'x' },
  ])
  assert.equal(statSync(rootfs.path('bin/su')).mode & 0o7777, 0o4755)
  assert.equal(statSync(rootfs.path('bin/su')).mtimeMs, 7000)
  assert.equal(statSync(rootfs.path('bin')).mtimeMs, 5000)
  assert.equal(statSync(rootfs.path('bin')).mode & 0o7777, 0o555)
  assert.equal(statSync(rootfs.path('bin/su')).nlink, 3)
  assert.equal(readlinkSync(rootfs.path('sbin')), 'bin')
  assert.equal(statSync(rootfs.path('deep/er')).mode & 0o7777, 0o755)
  chmodSync(rootfs.path('bin'), 0o755)
})

test('absolute paths and paths through .. are refused', (t) => {
  const rootfs = new TestRootfs(t)
  for (const name of ['/etc/x', '../x', 'a/../../x', 'a/..', '..', '/', './../x', ''])
    assert.throws(() => rootfs.apply([{ name, content: 'x' }]), REFUSED, name)
  for (const linkName of ['../victim', 'a/../../victim', '../../etc/passwd', 'missing', ''])
    assert.throws(() => rootfs.apply([{ name: 'l', type: '1', linkName }]), REFUSED, linkName)
  assert.deepEqual(readdirSync(rootfs.outside), ['rootfs', 'victim'])
})

test('a planted link is never followed', (t) => {
  const rootfs = new TestRootfs(t)
  const link = { name: 'l', type: '2', linkName: rootfs.outside }
  const relative = { name: 'l', type: '2', linkName: '..' }
  for (const planted of [link, relative]) {
    assert.throws(() => rootfs.apply([planted, { name: 'l/new', content: 'x' }]), REFUSED)
    assert.throws(() => rootfs.apply([planted, { name: 'l/d/', type: '5' }]), REFUSED)
    assert.throws(() => rootfs.apply([planted, { name: 'l/s', type: '2', linkName: 'x' }]), REFUSED)
    assert.throws(
      () => rootfs.apply([planted, { name: 'h', type: '1', linkName: 'l/victim' }]),
      REFUSED,
    )
  }
  // Whiteouts through the link remove nothing.
  rootfs.apply([{ name: 'l/.wh.victim' }, { name: 'l/.wh..wh..opq' }])
  // A file in the link's place replaces the link, not its target.
  rootfs.apply([
    { name: 't', type: '2', linkName: '../victim' },
    { name: 't', content: 'new' },
  ])
  assert.equal(readFileSync(rootfs.path('t'), 'utf8'), 'new')
  // So does a directory, and its metadata does not reach the target of a link that takes its place.
  rootfs.apply([
    { name: 'l/', type: '5', mode: 0o700 },
    { name: 'l', type: '2', linkName: '..' },
  ])
  assert.equal(readFileSync(`${rootfs.outside}/victim`, 'utf8'), 'untouched')
  assert.equal(statSync(rootfs.outside).mode & 0o7777, 0o755)
  assert.deepEqual(readdirSync(rootfs.outside), ['rootfs', 'victim'])
})

test('a directory that was checked is checked again once a link could stand there', (t) => {
  const rootfs = new TestRootfs(t)
  const swap = [
    { name: 'd/e/f', content: 'x' },
    { name: 'd', type: '2', linkName: '..' },
    { name: 'd/victim', content: 'overwritten' },
  ]
  assert.throws(() => rootfs.apply(swap), REFUSED)
  assert.equal(readFileSync(`${rootfs.outside}/victim`, 'utf8'), 'untouched')
})

test('a hard link to a link does not reach what the link names', (t) => {
  const rootfs = new TestRootfs(t)
  rootfs.apply([
    { name: 's', type: '2', linkName: '../victim' },
    { name: 'h', type: '1', linkName: 's' },
    { name: 'h', content: 'mine' },
  ])
  assert.equal(readFileSync(`${rootfs.outside}/victim`, 'utf8'), 'untouched')
  assert.equal(lstatSync(rootfs.path('s')).isSymbolicLink(), true)
})

test('devices, fifos and unknown types are refused; a 0/0 device is a whiteout', (t) => {
  const rootfs = new TestRootfs(t)
  rootfs.apply([
    { name: 'a', content: 'x' },
    { name: 'b', content: 'x' },
  ])
  for (const type of ['3', '4', '6']) {
    const archive = tarFile([{ name: 'dev', type }])
    archive.write('0000001\0', 329, 'latin1')
    assert.throws(() => rootfs.applyArchive(withChecksum(archive)), REFUSED, type)
  }
  assert.throws(() => rootfs.apply([{ name: 'x', type: 'S' }]), REFUSED)
  rootfs.apply([{ name: 'a', type: '3' }])
  assert.deepEqual(readdirSync(rootfs.root), ['b'])
})

test('whiteouts remove what lower layers left and nothing of their own layer', (t) => {
  const rootfs = new TestRootfs(t)
  rootfs.apply([
    { name: 'gone', content: 'x' },
    { name: 'dir/old', content: 'x' },
    { name: 'dir/sub/old', content: 'x' },
    { name: 'other/old', content: 'x' },
    { name: 'kept', content: 'x' },
  ])
  rootfs.apply([
    { name: '.wh.gone' },
    { name: 'dir/sub/new', content: 'x' },
    { name: 'dir/.wh..wh..opq' },
    { name: '.wh.other' },
    { name: 'own', content: 'x' },
    { name: '.wh.own' },
    { name: '.wh.missing' },
    { name: 'missing/.wh.x' },
    { name: '.wh..wh.plnk', type: '5' },
  ])
  const paths = readdirSync(rootfs.root, { recursive: true })
  assert.deepEqual(paths.map(String).toSorted(byText), [
    'dir',
    'dir/sub',
    'dir/sub/new',
    'kept',
    'own',
  ])
})

test('a whiteout cannot name the directory itself or the one above', (t) => {
  const rootfs = new TestRootfs(t)
  rootfs.apply([{ name: 'a', content: 'x' }])
  for (const name of ['.wh.', '.wh..', '.wh...', 'd/.wh...'])
    assert.throws(() => rootfs.apply([{ name }]), REFUSED, name)
  assert.equal(existsSync(rootfs.path('a')), true)
})

test('entries replace what lower layers left; directories merge', (t) => {
  const rootfs = new TestRootfs(t)
  rootfs.apply([
    { name: 'd/a', content: 'a' },
    { name: 'f', content: 'f' },
  ])
  rootfs.apply([
    { name: 'd/', type: '5' },
    { name: 'd/b', content: 'b' },
    { name: 'f/', type: '5' },
  ])
  assert.deepEqual(readdirSync(rootfs.path('d')).toSorted(byText), ['a', 'b'])
  rootfs.apply([{ name: 'd', content: 'file now' }])
  assert.equal(readFileSync(rootfs.path('d'), 'utf8'), 'file now')
})

test('limits hold for paths, links, depth, entries and attributes', (t) => {
  const long = 'n'.repeat(256)
  assert.throws(() => new TestRootfs(t).apply([{ name: long }]), LIMIT)
  assert.throws(() => new TestRootfs(t).apply([{ name: 'd/'.repeat(300) + 'f' }]), LIMIT)
  assert.throws(() => new TestRootfs(t).apply([{ name: `${'d/'.repeat(2100)}f` }]), LIMIT)
  const target = 'x'.repeat(5000)
  assert.throws(() => new TestRootfs(t).apply([{ name: 'l', type: '2', linkName: target }]), LIMIT)
  const few = new TestRootfs(t, { entries: 2 })
  few.apply([{ name: 'a' }])
  assert.throws(() => few.apply([{ name: 'b' }, { name: 'c' }]), LIMIT)
  const attributes = paxHeader({ 'SCHILY.xattr.user.a': '1', 'SCHILY.xattr.user.b': '2' })
  assert.throws(() => new TestRootfs(t, { xattrs: 1 }).apply([attributes, { name: 'a' }]), LIMIT)
})

test('no sequence of entries reaches outside, and each failure has a code', (t) => {
  const rootfs = new TestRootfs(t)
  const entry = record({
    name: constantFrom(
      'a',
      'b',
      'a/b',
      'a/b/c',
      'l',
      'l/victim',
      'l/x',
      'a/l',
      'a/l/victim',
      './a/.',
      '../victim',
      'a/../l',
      '.wh.a',
      'a/.wh.b',
      'l/.wh.victim',
      '.wh..wh..opq',
      'l/.wh..wh..opq',
      '.wh...',
      './',
    ),
    type: constantFrom('0', '1', '2', '5', '3'),
    linkName: constantFrom('..', '../victim', '/', 'a', 'a/b', 'l', 'l/victim', '.', '../..', ''),
  })
  assertProperty(
    property(array(entry, { minLength: 1, maxLength: 12 }), (entries) => {
      try {
        rootfs.apply(entries)
      } catch (error) {
        const { code } = unpackError(error) as { code?: string }
        assert.match(code ?? '', /^image\./)
      }
      assert.deepEqual(readdirSync(rootfs.outside), ['rootfs', 'victim'])
      assert.equal(readFileSync(`${rootfs.outside}/victim`, 'utf8'), 'untouched')
      assert.equal(statSync(`${rootfs.outside}/victim`).nlink, 1)
      assert.equal(statSync(`${rootfs.outside}/victim`).mtimeMs, rootfs.victimTime)
    }),
    { numRuns: 300 },
  )
})

test('extended attributes are counted where nothing sets them', (t) => {
  const rootfs = new TestRootfs(t)
  rootfs.apply([paxHeader({ 'SCHILY.xattr.security.capability': '1' }), { name: 'ping' }])
  assert.equal(rootfs.usage.skippedXattrs, 1)
})

const byText = (a: string, b: string) => (a < b ? -1 : 1)

/** A root file system in a directory that holds something that must stay as it is. */
class TestRootfs {
  readonly outside: string
  readonly root: string
  readonly victimTime: number
  readonly usage: UnpackUsage = { bytes: 0, entries: 0, skippedXattrs: 0 }
  readonly #limits: UnpackLimits
  #layers = 0

  constructor(t: TestContext, limits: Partial<UnpackLimits> = {}) {
    this.outside = temporaryDirectory(t)
    chmodSync(this.outside, 0o755)
    this.root = `${this.outside}/rootfs`
    mkdirSync(this.root)
    writeFileSync(`${this.outside}/victim`, 'untouched')
    this.victimTime = statSync(`${this.outside}/victim`).mtimeMs
    this.#limits = { ...UNPACK_LIMITS, ...limits }
  }

  path(path: string): string {
    return `${this.root}/${path}`
  }

  apply(entries: readonly TestEntry[]): void {
    this.applyArchive(tarFile(entries))
  }

  applyArchive(archive: Uint8Array): void {
    using writer = new RootfsWriter(this.root, {
      limits: this.#limits,
      usage: this.usage,
      hasLowerLayers: this.#layers++ > 0,
      preserveOwnership: true,
    })
    const reader = new TarReader(writer)
    reader.write(archive)
    reader.end()
    writer.finish()
  }
}

function withChecksum(archive: Buffer): Buffer {
  archive.fill(0x20, 148, 156)
  const sum = archive.subarray(0, 512).reduce((total, byte) => total + byte, 0)
  archive.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return archive
}
