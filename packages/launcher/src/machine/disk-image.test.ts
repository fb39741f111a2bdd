import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { access, mkdtemp, open, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import { findProgram } from '../find-program.ts'
import {
  createSnapshot,
  deleteSnapshot,
  importDisk,
  inspectDisk,
  listSnapshots,
  resizeDisk,
  restoreSnapshot,
} from './disk-image.ts'

const MIB = 1 << 20
const folder = await mkdtemp(join(tmpdir(), 'disks-'))
after(() => rm(folder, { recursive: true }))
const skip = (await findProgram('qemu-img')) === undefined && 'qemu-img is not installed'
const run = promisify(execFile)

let count = 0
const newPath = () => join(folder, `disk-${count++}`)

async function file(content: Uint8Array, bytes = 4 * MIB): Promise<string> {
  const path = newPath()
  await writeFile(path, content)
  await truncate(path, bytes)
  return path
}

/** A boot sector and a mark behind it. */
function rawDisk(): Buffer {
  const disk = Buffer.alloc(2 * MIB)
  disk.set([0x55, 0xaa], 510)
  disk.write('here', MIB)
  return disk
}

/** A version 3 header of 4 MiB, changed by a test. */
function qcow2(change: (header: Buffer) => void = () => {}): Buffer {
  const header = Buffer.alloc(104)
  header.writeUInt32BE(0x514649fb, 0)
  header.writeUInt32BE(3, 4)
  header.writeUInt32BE(16, 20)
  header.writeBigUInt64BE(BigInt(4 * MIB), 24)
  header.writeUInt32BE(1, 36)
  header.writeUInt32BE(4, 96)
  header.writeUInt32BE(104, 100)
  change(header)
  return header
}

test('inspectDisk() tells raw from qcow2 by the first bytes', async () => {
  assert.deepEqual(await inspectDisk(await file(rawDisk())), {
    format: 'raw',
    virtualBytes: 4 * MIB,
  })
  assert.deepEqual(await inspectDisk(await file(qcow2())), {
    format: 'qcow2',
    virtualBytes: 4 * MIB,
  })
})

const REFUSED: readonly [string, Uint8Array, string][] = [
  ['a backing file', qcow2((header) => header.writeBigUInt64BE(200n, 8)), 'disk.backing-file'],
  ['a backing file without a place', qcow2((h) => h.writeUInt32BE(9, 16)), 'disk.backing-file'],
  ['a data file', qcow2((header) => header.writeBigUInt64BE(4n, 72)), 'disk.backing-file'],
  ['encryption by AES', qcow2((header) => header.writeUInt32BE(1, 32)), 'disk.encrypted'],
  ['encryption by LUKS', qcow2((header) => header.writeUInt32BE(2, 32)), 'disk.encrypted'],
  [
    'a mark of damage',
    qcow2((header) => header.writeBigUInt64BE(2n, 72)),
    'disk.feature-unsupported',
  ],
  [
    'an unknown feature',
    qcow2((header) => header.writeBigUInt64BE(1n << 40n, 72)),
    'disk.feature-unsupported',
  ],
  ['version 1', qcow2((header) => header.writeUInt32BE(1, 4)), 'disk.malformed'],
  ['clusters of a byte', qcow2((header) => header.writeUInt32BE(0, 20)), 'disk.malformed'],
  ['too large a table', qcow2((header) => header.writeUInt32BE(1 << 30, 36)), 'disk.malformed'],
  ['a size of zero', qcow2((header) => header.writeBigUInt64BE(0n, 24)), 'disk.malformed'],
  [
    'a size of half a sector',
    qcow2((header) => header.writeBigUInt64BE(BigInt(4 * MIB + 256), 24)),
    'disk.malformed',
  ],
  ['an absurd size', qcow2((header) => header.writeBigUInt64BE(1n << 62n, 24)), 'disk.too-large'],
  ['VMDK', Buffer.from('KDMV'), 'disk.format-unsupported'],
  [
    'VDI',
    Buffer.concat([Buffer.alloc(64), Buffer.from([0x7f, 0x10, 0xda, 0xbe])]),
    'disk.format-unsupported',
  ],
  ['VHDX', Buffer.from('vhdxfile'), 'disk.format-unsupported'],
  ['VHD', Buffer.from('conectix'), 'disk.format-unsupported'],
  ['QED', Buffer.from('QED\0'), 'disk.format-unsupported'],
  ['gzip', Buffer.from([0x1f, 0x8b]), 'disk.format-unsupported'],
  ['xz', Buffer.from('\xfd7zXZ\0', 'latin1'), 'disk.format-unsupported'],
  ['zeros', new Uint8Array(512), 'disk.format-unsupported'],
]
for (const [name, content, code] of REFUSED)
  test(`inspectDisk() refuses ${name}`, async () => {
    await assert.rejects(inspectDisk(await file(content)), { code })
  })

test('inspectDisk() refuses what is no disk at all', async () => {
  await assert.rejects(inspectDisk(join(folder, 'none')), { code: 'disk.not-found' })
  await assert.rejects(inspectDisk(folder), { code: 'disk.unreadable' })
  await assert.rejects(inspectDisk('/dev/null'), { code: 'disk.unreadable' })
  const short = newPath()
  await writeFile(short, qcow2().subarray(0, 40))
  await assert.rejects(inspectDisk(short), { code: 'disk.malformed' })
  const footer = await file(rawDisk())
  await using handle = await open(footer, 'r+')
  await handle.write('conectix', 4 * MIB - 512)
  await assert.rejects(inspectDisk(footer), { code: 'disk.format-unsupported' })
})

test('importDisk() copies, grows and keeps zeros out', { skip }, async () => {
  const source = await file(rawDisk(), 64 * MIB)
  const target = newPath()
  const sizeBytes = 128 * MIB
  assert.deepEqual(await importDisk(source, target, { sizeBytes }), {
    format: 'qcow2',
    virtualBytes: sizeBytes,
  })
  assert.deepEqual(await inspectDisk(target), { format: 'qcow2', virtualBytes: sizeBytes })
  const { mode, uid, blocks } = await stat(target)
  assert.deepEqual([mode & 0o777, uid], [0o600, process.getuid?.()])
  assert.ok(blocks * 512 < 2 * MIB)
  const back = newPath()
  await run('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', target, back])
  const content = await readFile(back)
  assert.equal(content.toString('latin1', MIB, MIB + 4), 'here')
  assert.equal(content.length, sizeBytes)
  // From qcow2 that nobody else may read, too.
  const again = newPath()
  assert.equal((await importDisk(target, again)).virtualBytes, sizeBytes)
  await assert.rejects(access(`${again}.source`))
})

test('importDisk() fails with a code and leaves nothing', { skip }, async () => {
  const source = await file(rawDisk())
  const target = newPath()
  await assert.rejects(importDisk(source, target, { sizeBytes: MIB }), { code: 'disk.shrink' })
  await assert.rejects(importDisk(source, target, { sizeBytes: 2 ** 47 }), {
    code: 'disk.too-large',
  })
  await assert.rejects(importDisk(await file(qcow2()), target), { code: 'disk.tool-failed' })
  await assert.rejects(
    importDisk(source, target, { signal: AbortSignal.abort(new Error('enough')) }),
    { message: 'enough' },
  )
  await assert.rejects(access(target))
  await assert.rejects(importDisk(source, source), { code: 'vm.id-taken' })
})

test('resizeDisk() grows and never shrinks', { skip }, async () => {
  const path = newPath()
  await importDisk(await file(rawDisk()), path)
  await resizeDisk(path, 8 * MIB)
  assert.equal((await inspectDisk(path)).virtualBytes, 8 * MIB)
  await assert.rejects(resizeDisk(path, 4 * MIB), { code: 'disk.shrink' })
  await resizeDisk(path, 8 * MIB)
})

/** Writes a word into the disk, as a guest would. */
async function write(path: string, byte: number): Promise<void> {
  await run('qemu-io', ['-f', 'qcow2', '-c', `write -P ${byte} 0 64k`, path])
}

async function firstByte(path: string): Promise<number | undefined> {
  const raw = newPath()
  await run('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', path, raw])
  return (await readFile(raw))[0]
}

test('snapshots come back, one by one', { skip }, async () => {
  const path = newPath()
  await importDisk(await file(rawDisk()), path)
  assert.deepEqual(await listSnapshots(path), [])
  await write(path, 1)
  await createSnapshot(path, 'one')
  await write(path, 2)
  await createSnapshot(path, 'two')
  await write(path, 3)
  assert.deepEqual(
    (await listSnapshots(path)).map(({ name }) => name),
    ['one', 'two'],
  )
  await restoreSnapshot(path, 'one')
  assert.equal(await firstByte(path), 1)
  await restoreSnapshot(path, 'two')
  assert.equal(await firstByte(path), 2)
  await deleteSnapshot(path, 'one')
  assert.deepEqual(
    (await listSnapshots(path)).map(({ name }) => name),
    ['two'],
  )
  await assert.rejects(createSnapshot(path, 'two'), { code: 'snapshot.exists' })
  await assert.rejects(restoreSnapshot(path, 'one'), { code: 'snapshot.not-found' })
  await assert.rejects(deleteSnapshot(path, '2'), { code: 'snapshot.not-found' })
  for (const name of ['1', '-a', 'A', '', 'a'.repeat(64), 'a b'])
    await assert.rejects(createSnapshot(path, name), { code: 'snapshot.name-invalid' })
})

test('a disk that lies about its snapshots is refused', { skip }, async () => {
  const path = newPath()
  await importDisk(await file(rawDisk()), path)
  const header = Buffer.alloc(12)
  header.writeUInt32BE(50)
  header.writeBigUInt64BE(1n << 40n, 4)
  await using handle = await open(path, 'r+')
  await handle.write(header, 0, 12, 60)
  await assert.rejects(listSnapshots(path), { code: 'disk.malformed' })
})
