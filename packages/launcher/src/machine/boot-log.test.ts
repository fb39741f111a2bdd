import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { parseTcgLog } from '@cloister/verifier/eventlog/tcg-log'
import { fakeLog, goodBoot } from '@cloister/verifier/testing/fake-tpm'
import { findBootLog, logPrefix } from './boot-log.ts'

const LOG = Buffer.from(fakeLog(goodBoot()))
const SHORT = Buffer.from(fakeLog(goodBoot().slice(0, -1)))
const MIB = 1 << 20

async function dumpWith(t: TestContext, parts: readonly (readonly [number, Uint8Array])[]) {
  const folder = await mkdtemp(join(tmpdir(), 'cloister-ram-'))
  t.after(() => rm(folder, { recursive: true }))
  const ram = Buffer.alloc(20 * MIB)
  for (const [offset, bytes] of parts) ram.set(bytes, offset)
  const file = join(folder, 'ram')
  await writeFile(file, ram)
  return file
}

test('findBootLog() takes the longest, over the borders of what it reads at once', async (t) => {
  // Spans the border of two pieces by its signature alone.
  const file = await dumpWith(t, [
    [4096, SHORT],
    [8 * MIB - 40, LOG],
    [12 * MIB, SHORT],
  ])
  assert.deepEqual(Buffer.from((await findBootLog(file)) ?? []), LOG)
})

test('of several as long it takes the one that is there most often', async (t) => {
  const older = Buffer.from(LOG)
  // A digest of the last boot.
  older[older.length - 40]! ^= 1
  const file = await dumpWith(t, [
    [0, older],
    [MIB, LOG],
    [2 * MIB, LOG],
  ])
  assert.deepEqual(Buffer.from((await findBootLog(file)) ?? []), LOG)
})

test('findBootLog() finds nothing in blank RAM, in a bare signature, and in a log of another form', async (t) => {
  const parts: readonly (readonly [number, Uint8Array])[][] = [
    [],
    [[0, Buffer.from('Spec ID Event03\0')]],
    [[MIB, Buffer.concat([Buffer.alloc(32), Buffer.from('Spec ID Event03\0')])]],
    [[MIB, LOG.subarray(0, 80)]],
  ]
  for (const part of parts) assert.equal(await findBootLog(await dumpWith(t, part)), undefined)
})

test('logPrefix() ends a log where garbage begins, and never takes half a record', () => {
  for (const tail of [0x00, 0xff, 0x41])
    assert.deepEqual(
      Buffer.from(logPrefix(Buffer.concat([LOG, Buffer.alloc(300, tail)])) ?? []),
      LOG,
    )
  const cut = logPrefix(LOG.subarray(0, -1))
  assert.equal(parseTcgLog(cut!).events.length, goodBoot().length - 1)
})

test('whatever the bytes, logPrefix() gives a log or nothing', () => {
  let seed = 20261125
  const random = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff)
  for (let round = 0; round < 3000; round++) {
    const bytes = Buffer.concat([LOG, Buffer.alloc(64, random() & 0xff)])
    for (let change = random() % 6; change >= 0; change--)
      bytes[random() % bytes.length] = random() & 0xff
    const log = logPrefix(bytes.subarray(0, random() % (bytes.length + 1)))
    if (log !== undefined) assert.ok(parseTcgLog(log).events.length >= 4, `seed ${seed}`)
  }
})
