import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { openPolled } from './polled-device.ts'
import { openPort } from './port.ts'

/** What a device takes for a host that does not read. */
const ROOM_BYTES = 10_000

/** A host whose sockets stand for the device: each connection is one time that it has the port open. */
async function host(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), 'cloister-port-'))
  t.after(() => rm(directory, { recursive: true }))
  const path = join(directory, 'host')
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(path)
  await once(server, 'listening')
  t.after(() => server.close())
  const opened: Socket[] = []
  server.on('connection', (socket) => opened.push(socket.on('error', () => undefined)))
  const open: typeof openPolled = (_path, _access, take, buffer) => {
    assert.ok(buffer)
    const callback = (bytes: number) => take(Buffer.from(buffer.subarray(0, bytes)))
    const socket = connect({ path, onread: { buffer, callback } })
    let isReady = false
    socket.once('connect', () => (isReady = true))
    return {
      socket,
      write(bytes) {
        if (!isReady || socket.writableLength > 0) return 0
        const taken = bytes.subarray(0, ROOM_BYTES)
        socket.write(taken)
        return taken.length
      },
    }
  }
  const nextOpened = async () => {
    while (opened.length === 0) await once(server, 'connection')
    return opened.shift()!
  }
  return { open, nextOpened }
}

function portOf(t: TestContext, open: typeof openPolled): Duplex {
  const port = openPort('/dev/vport0p1', open)
  t.after(() => port.destroy())
  return port
}

async function read(socket: Socket, bytes: number): Promise<Buffer> {
  let all = Buffer.alloc(0)
  socket.on('data', (part: Buffer) => (all = Buffer.concat([all, part]))).resume()
  while (all.length < bytes) await once(socket, 'data')
  return all
}

test('a port goes on when the host closes it and opens it again', async (t) => {
  const { open, nextOpened } = await host(t)
  const port = portOf(t, open)
  for (const round of ['first', 'second', 'third']) {
    const socket = await nextOpened()
    socket.write(`to the guest, ${round}`)
    assert.equal(String((await once(port, 'data'))[0]), `to the guest, ${round}`)
    port.write(`to the host, ${round}`)
    const told = `to the host, ${round}`
    assert.equal((await read(socket, told.length)).toString(), told)
    socket.end()
  }
})

test('all is written, in order, as the host takes it', async (t) => {
  const { open, nextOpened } = await host(t)
  const port = portOf(t, open)
  const sent = randomBytes(3 << 20)
  let isDone = false
  port.write(sent, () => (isDone = true))
  const socket = await nextOpened()
  await sleep(50)
  assert.equal(isDone, false)
  port.end('the end')
  assert.ok(
    (await read(socket, sent.length + 7)).equals(Buffer.concat([sent, Buffer.from('the end')])),
  )
  assert.equal(isDone, true)
})

test('what the host has not taken when it closes the port is for whoever opens it next', async (t) => {
  const { open, nextOpened } = await host(t)
  const port = portOf(t, open)
  port.resume()
  const first = await nextOpened()
  const sent = randomBytes(3 << 20)
  port.write(sent)
  port.write('after')
  await sleep(50)
  first.end()
  const second = await nextOpened()
  let rest = Buffer.alloc(0)
  second.on('data', (bytes: Buffer) => (rest = Buffer.concat([rest, bytes]))).resume()
  while (!rest.subarray(-5).equals(Buffer.from('after'))) await once(second, 'data')
  assert.ok(rest.length > 1 << 20 && rest.length < sent.length)
  assert.ok(rest.subarray(0, -5).equals(sent.subarray(5 - rest.length)))
})

test('a host that sends more than is read fills no memory', async (t) => {
  const { open, nextOpened } = await host(t)
  const port = portOf(t, open)
  const sent = Buffer.alloc(8 << 20, 7)
  const socket = await nextOpened()
  socket.write(sent)
  port.once('readable', () => undefined)
  await sleep(200)
  // What was asked for, and one buffer more.
  assert.ok(port.readableLength <= (64 + 256) << 10, String(port.readableLength))
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
  const port = portOf(t, (...given) => {
    if (tries++ > 0) throw gone
    return open(...given)
  })
  port.resume()
  const socket = await nextOpened()
  socket.end()
  assert.deepEqual(await once(port, 'error'), [gone])

  const failing = portOf(t, (...given) => {
    const device = open(...given)
    setImmediate(() => device.socket.destroy(gone))
    return device
  })
  assert.deepEqual(await once(failing, 'error'), [gone])

  const unplugged = portOf(t, (...given) => ({
    ...open(...given),
    write() {
      throw gone
    },
  }))
  unplugged.write('x')
  assert.deepEqual(await once(unplugged, 'error'), [gone])
  assert.throws(() => openPort('/nonexistent/device'), /ENOENT/)
})
