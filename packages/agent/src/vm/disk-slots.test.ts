import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { encodeLabel, type DiskLabel } from '@cloister/protocol/sealed-disk/label'
import { SEALED_DISK, SEALED_HEADER_BYTES } from '@cloister/protocol/sealed-disk/layout'
import { encodeSourceRecord } from '@cloister/protocol/sealed-disk/source'
import { isCode } from '@cloister/protocol/testing'
import { readSlot, replaceSlot } from './disk-slots.ts'
import { copySource } from './source-copy.ts'
import { luks2Header } from './testing/luks2-header.ts'

const KEY = Buffer.alloc(32, 1)
const NEXT = Buffer.alloc(32, 2)
const HEADER = luks2Header()
const NONE = Buffer.alloc(0)
const LABEL: DiskLabel = {
  kind: 'sealed',
  generation: 2,
  id: 'ab'.repeat(16),
  dataBytes: 1 << 20,
  sourceBytes: 0,
  headerBytes: SEALED_HEADER_BYTES,
  openedBytes: 1 << 19,
  superblock: 'cd'.repeat(32),
}
const PREPARED: DiskLabel = { ...LABEL, kind: 'prepared', generation: 1, headerBytes: 0 }

async function diskOf(
  t: TestContext,
  pieces: readonly (readonly [offset: number, bytes: Uint8Array])[],
): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'cloister-slots-'))
  t.after(() => rm(directory, { recursive: true }))
  const path = join(directory, 'disk')
  await using disk = await open(path, 'w')
  await disk.truncate(SEALED_DISK.dataOffset + (2 << 20))
  for (const [offset, bytes] of pieces) await disk.write(bytes, 0, bytes.length, offset)
  return path
}

const at = (index: 0 | 1, label: DiskLabel, header: Uint8Array, key: Uint8Array) =>
  [
    [SEALED_DISK.slots[index], encodeLabel(label, header, key)],
    [SEALED_DISK.slots[index] + SEALED_DISK.labelBytes, header],
  ] as const

test('readSlot() takes the newest label whose MAC is right, whichever of the keys it is under', async (t) => {
  const disk = await diskOf(t, [...at(0, PREPARED, NONE, KEY), ...at(1, LABEL, HEADER, NEXT)])
  const both = await readSlot(disk, [KEY, NEXT])
  assert.deepEqual([both.index, both.key, both.label], [1, 1, LABEL])
  assert.deepEqual(both.header, HEADER)
  assert.equal((await readSlot(disk, [KEY])).label.kind, 'prepared')
})

test('readSlot() refuses a disk of another key, without a label, or with a header that was changed', async (t) => {
  const changed = Buffer.from(HEADER)
  changed[5000]! ^= 1
  const [label] = at(1, LABEL, HEADER, KEY)
  const longer = Buffer.from(encodeLabel(LABEL, HEADER, KEY))
  longer.writeBigUInt64LE(1n << 40n, 0x40)
  for (const pieces of [
    [],
    at(1, LABEL, HEADER, NEXT),
    [label],
    [label, [SEALED_DISK.slots[1] + SEALED_DISK.labelBytes, changed]],
    // Of another place of the same disk: it would be good there only with its own header.
    [[SEALED_DISK.slots[0], label[1]]],
    [[SEALED_DISK.slots[0], longer]],
  ] as (readonly (readonly [number, Uint8Array])[])[])
    await assert.rejects(readSlot(await diskOf(t, pieces), [KEY]), isCode('agent.disk-label'))
})

test('replaceSlot() writes the other place and clears the old one', async (t) => {
  const disk = await diskOf(t, at(0, PREPARED, NONE, KEY))
  const old = await readSlot(disk, [KEY])
  await replaceSlot(disk, old, { label: LABEL, header: HEADER }, NEXT)
  const now = await readSlot(disk, [KEY, NEXT])
  assert.deepEqual([now.index, now.key, now.label.kind], [1, 1, 'sealed'])
  await assert.rejects(readSlot(disk, [KEY]), isCode('agent.disk-label'))
})

const records = (...contents: readonly (readonly [number, Uint8Array])[]) =>
  Buffer.concat(
    contents.map(([offset, data], index) => encodeSourceRecord(KEY, index, { offset, data })),
  )

async function copied(
  t: TestContext,
  source: Buffer,
  { targetBytes = 1 << 19, sha256 = sha256Of(source) } = {},
) {
  const device = await diskOf(t, [[SEALED_DISK.dataOffset, source]])
  const target = await diskOf(t, [])
  await copySource({
    device,
    offset: SEALED_DISK.dataOffset,
    bytes: source.length,
    key: KEY,
    sha256,
    target,
    targetBytes,
    onProgress: () => undefined,
  })
  await using file = await open(target)
  return (await file.read(Buffer.alloc(8), 0, 8, 4096)).buffer
}

function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

test('copySource() puts each record where its owner wanted it', async (t) => {
  const source = records([0, Buffer.from('first')], [4096, Buffer.from('second')], [8192, NONE])
  assert.equal((await copied(t, source)).toString('latin1'), 'second\0\0')
})

test('copySource() refuses what was changed, cut short, put into another order, or does not fit', async (t) => {
  const first = encodeSourceRecord(KEY, 0, { offset: 0, data: Buffer.from('first') })
  const last = encodeSourceRecord(KEY, 1, { offset: 4096, data: NONE })
  const changed = Buffer.concat([first, last])
  changed[30]! ^= 1
  for (const source of [
    NONE,
    first,
    Buffer.concat([last, first]),
    changed,
    Buffer.concat([first, last.subarray(0, 20)]),
    Buffer.alloc(100, 0xff),
  ])
    await assert.rejects(copied(t, source), isCode('agent.disk-source'))
  const far = records([1 << 19, Buffer.from('x')], [0, NONE])
  await assert.rejects(copied(t, far), isCode('agent.disk-source'))
})

test('copySource() takes no other content, though it is of the same disk and key', async (t) => {
  const own = records([0, Buffer.from('own')], [8192, NONE])
  const other = records([0, Buffer.from('not')], [8192, NONE])
  await copied(t, own)
  await assert.rejects(copied(t, other, { sha256: sha256Of(own) }), isCode('agent.disk-source'))
  // What follows the last record is not looked at.
  await copied(t, Buffer.concat([own, Buffer.alloc(64)]), { sha256: sha256Of(own) })
})
