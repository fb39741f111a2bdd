import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
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
  const { socket } = openPolled(path, 'read', (bytes) => pieces.push(bytes) > 0)
  const sent: Buffer[] = []
  for (const size of [1, 100, 4096, 8192, 5000, 65536, 3, 65536, 4095]) {
    sent.push(randomBytes(size))
    writeSync(writer, sent.at(-1)!)
    await sleep(20)
  }
  closeSync(writer)
  await once(socket, 'end')
  assert.ok(Buffer.concat(pieces).equals(Buffer.concat(sent)))
  assert.ok(pieces.length <= 15, `${pieces.length} pieces of 41 pages`)
})

test('nothing is read for whoever has enough, until it is resumed', async (t) => {
  const path = await namedPipe(t)
  const writer = openSync(path, 'r+')
  t.after(() => closeSync(writer))
  const pieces: number[] = []
  const { socket } = openPolled(path, 'read', ({ length }) => {
    pieces.push(length)
    return false
  })
  t.after(() => socket.destroy())
  writeSync(writer, Buffer.alloc(5))
  await sleep(50)
  for (const size of [6, 4096, 7]) {
    const before = [...pieces]
    writeSync(writer, Buffer.alloc(size))
    await sleep(50)
    assert.deepEqual(pieces, before)
    socket.resume()
    await sleep(50)
  }
  assert.deepEqual(pieces, [5, 6, 4096, 7])
})

test('a device takes what it has room for, and then nothing until it is read', async (t) => {
  const path = await namedPipe(t)
  let isEnough = true
  let received = 0
  const device = openPolled(path, 'both', ({ length }) => {
    received += length
    return !isEnough
  })
  t.after(() => device.socket.destroy())
  assert.equal(device.write(Buffer.from('x')), 1)
  await sleep(50)
  assert.equal(received, 1)
  const bytes = Buffer.alloc(1 << 20)
  const taken = device.write(bytes)
  assert.ok(taken > 0 && taken < bytes.length, String(taken))
  assert.equal(device.write(bytes), 0)
  isEnough = false
  device.socket.resume()
  await sleep(50)
  assert.equal(received, 1 + taken)
  assert.ok(device.write(bytes) > 0)
  device.socket.destroy()
  const other = openSync(`${path}-other`, 'w+')
  t.after(() => closeSync(other))
  assert.equal(device.write(Buffer.from('for nobody else')), 0)
  assert.equal(readFileSync(`${path}-other`, 'latin1'), '')
})

test('a device that is not there is told at once', async (t) => {
  const path = await namedPipe(t)
  assert.throws(() => openPolled(`${path}-absent`, 'read', () => true), /ENOENT/)
})
