import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, openSync, writeSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openPolled } from './polled-device.ts'

/** A pipe with a name can be waited for as a port can, and gives out its bytes by pages as well. */
async function namedPipe(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'cloister-polled-'))
  t.after(() => rm(directory, { recursive: true }))
  const path = join(directory, 'pipe')
  execFileSync('mkfifo', [path])
  return path
}

test('all bytes of a device come in order, many at once in few pieces, and its end is told', async (t) => {
  const path = await namedPipe(t)
  const pieces: Buffer[] = []
  const writer = openSync(path, 'r+')
  const device = openPolled(path, 'read', (bytes) => pieces.push(bytes) > 0)
  const sent: Buffer[] = []
  for (const size of [1, 100, 4096, 8192, 5000, 65536, 3, 65536, 4095]) {
    sent.push(randomBytes(size))
    writeSync(writer, sent.at(-1)!)
    await sleep(20)
  }
  closeSync(writer)
  await once(device, 'end')
  assert.ok(Buffer.concat(pieces).equals(Buffer.concat(sent)))
  assert.ok(pieces.length <= 40, `${pieces.length} pieces of 38 pages`)
  assert.ok(pieces.some(({ length }) => length > 32 << 10))
})

test('nothing is read for whoever has enough, until it is resumed', async (t) => {
  const path = await namedPipe(t)
  const writer = openSync(path, 'r+')
  t.after(() => closeSync(writer))
  const pieces: string[] = []
  const device = openPolled(path, 'read', (bytes) => {
    pieces.push(bytes.toString())
    return false
  })
  t.after(() => device.destroy())
  writeSync(writer, 'first')
  await sleep(50)
  writeSync(writer, 'second')
  await sleep(50)
  assert.deepEqual(pieces, ['first'])
  device.resume()
  await sleep(50)
  assert.deepEqual(pieces, ['first', 'second'])
})

test('a device for both directions is written to', async (t) => {
  const path = await namedPipe(t)
  const pieces: string[] = []
  const device = openPolled(path, 'both', (bytes) => pieces.push(bytes.toString()) > 0)
  t.after(() => device.destroy())
  await new Promise((resolve) => device.write('there and back', resolve))
  await sleep(50)
  assert.deepEqual(pieces, ['there and back'])
})

test('a device that is not there is told at once', async (t) => {
  const path = await namedPipe(t)
  assert.throws(() => openPolled(`${path}-absent`, 'read', () => true), /ENOENT/)
})
