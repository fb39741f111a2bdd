import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TakeBytes } from './polled-device.ts'
import { openPort } from './port.ts'

/** A host whose sockets stand for the device: each connection is one time that it has the port open. */
async function host(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), 'cloister-port-'))
  t.after(() => rm(directory, { recursive: true }))
  const path = join(directory, 'host')
  const server = createServer().listen(path)
  await once(server, 'listening')
  t.after(() => server.close())
  const opened: Socket[] = []
  server.on('connection', (socket) => opened.push(socket.on('error', () => undefined)))
  const open = (take: TakeBytes) =>
    connect({
      path,
      onread: {
        buffer: Buffer.alloc(4096),
        callback: (bytes, buffer) => take(Buffer.from(buffer.subarray(0, bytes))),
      },
    })
  const nextOpened = async () => {
    while (opened.length === 0) await once(server, 'connection')
    return opened.shift()!
  }
  return { server, open, nextOpened }
}

function portOf(t: TestContext, open: (take: TakeBytes) => Socket): Duplex {
  const port = openPort('/dev/vport0p1', open)
  t.after(() => port.destroy())
  return port
}

test('a port goes on when the host closes it and opens it again', async (t) => {
  const { open, nextOpened } = await host(t)
  const port = portOf(t, open)
  const first = await nextOpened()
  first.write('to the guest')
  assert.equal(String((await once(port, 'data'))[0]), 'to the guest')
  port.write('to the host')
  assert.equal(String((await once(first, 'data'))[0]), 'to the host')
  first.end()

  const second = await nextOpened()
  second.write('again')
  assert.equal(String((await once(port, 'data'))[0]), 'again')
  port.write('and back')
  assert.equal(String((await once(second, 'data'))[0]), 'and back')
})

test('what the host has not taken is written when it opens the port anew', async (t) => {
  const { open, nextOpened } = await host(t)
  const port = portOf(t, open)
  port.resume()
  const first = await nextOpened()
  first.end()
  await once(first, 'close')
  let isDone = false
  port.write('meanwhile', () => (isDone = true))
  assert.equal(isDone, false)
  const second = await nextOpened()
  assert.equal(String((await once(second, 'data'))[0]), 'meanwhile')
  port.write('after')
  assert.equal(String((await once(second, 'data'))[0]), 'after')
  assert.equal(isDone, true)
})

test('a host that sends more than is read fills no memory', async (t) => {
  const { open, nextOpened } = await host(t)
  const port = portOf(t, open)
  const sent = Buffer.alloc(8 << 20, 7)
  const socket = await nextOpened()
  socket.write(sent)
  port.once('readable', () => undefined)
  await sleep(200)
  assert.ok(port.readableLength < 256 << 10, String(port.readableLength))
  let received = 0
  for await (const bytes of port) {
    received += (bytes as Buffer).length
    if (received === sent.length) break
  }
  assert.equal(received, sent.length)
})

test('the stream fails when the port is gone, at once or when it is opened again', async (t) => {
  const { open, nextOpened } = await host(t)
  const gone = new Error('ENXIO')
  let tries = 0
  const port = portOf(t, (take) => {
    if (tries++ > 0) throw gone
    return open(take)
  })
  port.resume()
  const socket = await nextOpened()
  socket.end()
  assert.deepEqual(await once(port, 'error'), [gone])

  const failing = portOf(t, (take) => {
    const socket = open(take)
    setImmediate(() => socket.destroy(gone))
    return socket
  })
  assert.deepEqual(await once(failing, 'error'), [gone])
  assert.throws(() => openPort('/nonexistent/device'), /ENOENT/)
})
