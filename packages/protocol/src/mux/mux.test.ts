import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, get } from 'node:http'
import type { Duplex } from 'node:stream'
import { buffer, text } from 'node:stream/consumers'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { frameChannel } from '../port-session.ts'
import { streamPair } from '../testing.ts'
import { MuxConnection, type MuxOptions } from './connection.ts'
import {
  encodeMuxHeader,
  encodeWindow,
  MUX_FRAMING,
  MUX_INITIAL_WINDOW,
  MUX_TYPE,
} from './frame.ts'
import { MuxResetError } from './stream.ts'

function pair(host: Partial<MuxOptions> = {}) {
  const [near, far] = streamPair()
  return {
    guest: new MuxConnection(frameChannel(near, MUX_FRAMING), { side: 'guest' }),
    host: new MuxConnection(frameChannel(far, MUX_FRAMING), { side: 'host', ...host }),
  }
}

/** A guest's connection whose peer is the test, speaking raw frames. */
function raw(options: Partial<MuxOptions> = {}) {
  const [near, far] = streamPair()
  const guest = new MuxConnection(frameChannel(near, MUX_FRAMING), { side: 'guest', ...options })
  const send = (id: number, type: number, payload: Uint8Array = new Uint8Array()) =>
    far.write(Buffer.concat([encodeMuxHeader(id, type, payload.length), payload]))
  return { guest, far, send }
}

const isReset = (code: string) => (error: unknown) =>
  error instanceof MuxResetError && error.code === code
const echo = {
  accepts: (target: string) => target === 'echo',
  onStream: (s: Duplex) => void s.pipe(s),
}

test('streams carry many bytes both ways at once, and half-close', async () => {
  const { guest } = pair(echo)
  const payloads = Array.from({ length: 3 }, () => randomBytes(1_500_000))
  await Promise.all(
    payloads.map(async (payload) => {
      const stream = await guest.open('echo')
      stream.end(payload)
      assert.ok(payload.equals(await buffer(stream)))
    }),
  )
})

test('a target that is not accepted is refused; the connection goes on', async () => {
  const { guest } = pair(echo)
  await assert.rejects(guest.open('other'), isReset('refused'))
  const stream = await guest.open('echo')
  stream.end('x')
  assert.equal((await buffer(stream)).toString(), 'x')
})

test('a sender stops at the window until the other side reads', async () => {
  let far: Duplex | undefined
  const { guest } = pair({ accepts: () => true, onStream: (stream) => (far = stream) })
  const stream = await guest.open('slow')
  let isWritten = false
  const written = Promise.withResolvers<void>()
  stream.write(Buffer.alloc(MUX_INITIAL_WINDOW + 200_000), () => {
    isWritten = true
    written.resolve()
  })
  await new Promise((resolve) => setTimeout(resolve, 20))
  assert.equal(isWritten, false)
  far!.resume()
  await written.promise
})

test('destroying one end resets the other; an error ends it early', async () => {
  let far: Duplex | undefined
  const { guest } = pair({ accepts: () => true, onStream: (stream) => (far = stream) })
  const stream = await guest.open('x')
  const error = once(far!, 'error')
  stream.destroy()
  assert.ok(isReset('cancelled')((await error)[0]))
})

test('closing the connection ends its streams and what is being opened', async () => {
  const { guest, host } = pair({
    accepts: () => true,
    onStream: (s) => s.on('error', () => undefined),
  })
  const stream = await guest.open('x')
  const failure = once(stream, 'error')
  host.close()
  assert.ok(isReset('closed')((await failure)[0]))
  await guest.closed
  await assert.rejects(guest.open('x'), isReset('closed'))
})

test('open() can be given up', async () => {
  const { guest } = raw()
  const controller = new AbortController()
  const opening = guest.open('x', controller.signal)
  controller.abort(new Error('stop'))
  await assert.rejects(opening, /stop/)
})

test('node:http speaks over a stream, and its timeout ends a silent one', async () => {
  const server = createServer((request, response) => {
    if (request.url === '/') response.end('answer')
  })
  const { guest } = pair({
    accepts: () => true,
    onStream: (stream) => void server.emit('connection', stream),
  })
  const ask = async (path: string) => {
    const connection = await guest.open('x')
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    const outgoing = get({ path, createConnection: () => connection }, (answer) => {
      text(answer).then(resolve, reject)
    })
    outgoing.setTimeout(50, () => outgoing.destroy(new Error('silent')))
    outgoing.once('error', reject)
    return promise
  }
  assert.equal(await ask('/'), 'answer')
  await assert.rejects(ask('/never'), /silent/)
})

test('a stream that is reset in the same piece that opened it is not given out', async () => {
  const { guest, far } = raw()
  const opening = guest.open('echo')
  const frame = (type: number, payload = Buffer.alloc(0)) =>
    Buffer.concat([encodeMuxHeader(1, type, payload.length), payload])
  far.write(Buffer.concat([frame(MUX_TYPE.opened), frame(MUX_TYPE.reset, Buffer.from('failed'))]))
  await assert.rejects(opening, isReset('failed'))
})

test('frames without data, which no window bounds, cost a peer its stream', async () => {
  const { guest, send } = raw()
  const opening = guest.open('x')
  send(1, MUX_TYPE.opened)
  const stream = await opening
  const failure = once(stream, 'error')
  send(1, MUX_TYPE.data)
  assert.ok(isReset('protocol')((await failure)[0]))
})

test('data that comes byte by byte is held and given in order', async () => {
  const { guest, send } = raw()
  const opening = guest.open('x')
  send(1, MUX_TYPE.opened)
  const stream = await opening
  const data = randomBytes(2000)
  for (const byte of data) send(1, MUX_TYPE.data, Uint8Array.of(byte))
  send(1, MUX_TYPE.end)
  await new Promise((resolve) => setTimeout(resolve, 20))
  assert.ok(data.equals(await buffer(stream)))
})

test('a peer that ignores the window loses its stream only', async () => {
  const { guest, far, send } = raw()
  far.resume()
  const opening = guest.open('x')
  send(1, MUX_TYPE.opened)
  const stream = await opening
  const failure = once(stream, 'error')
  for (let sent = 0; sent <= MUX_INITIAL_WINDOW; sent += 16384)
    send(1, MUX_TYPE.data, Buffer.alloc(16384))
  assert.ok(isReset('protocol')((await failure)[0]))
  assert.equal(guest.isClosed, false)
})

test('absurd windows, data after the end and data before "opened" are protocol errors', async () => {
  for (const misdeed of [
    [MUX_TYPE.window, encodeWindow(0)],
    [MUX_TYPE.window, encodeWindow(0x7fffffff)],
    [MUX_TYPE.window, Buffer.alloc(3)],
  ] as const) {
    const { guest, far, send } = raw()
    far.resume()
    const opening = guest.open('x')
    send(1, MUX_TYPE.opened)
    const failure = once(await opening, 'error')
    send(1, misdeed[0], misdeed[1])
    assert.ok(isReset('protocol')((await failure)[0]))
  }
  const late = raw()
  late.far.resume()
  const opening = late.guest.open('x')
  late.send(1, MUX_TYPE.opened)
  const failure = once(await opening, 'error')
  late.send(1, MUX_TYPE.end)
  late.send(1, MUX_TYPE.data, Buffer.from('x'))
  assert.ok(isReset('protocol')((await failure)[0]))
  const early = raw()
  early.far.resume()
  const tooEarly = early.guest.open('x')
  early.send(1, MUX_TYPE.data, Buffer.from('x'))
  await assert.rejects(tooEarly, isReset('protocol'))
})

test('a frame for a stream that never was, a wrong id and an unknown type end the connection', async () => {
  const accepting = { accepts: () => true, onStream: (s: Duplex) => s.on('error', () => undefined) }
  for (const misdeed of [
    (send: ReturnType<typeof raw>['send']) => send(4, MUX_TYPE.data, Buffer.from('x')),
    (send: ReturnType<typeof raw>['send']) => send(3, MUX_TYPE.open, Buffer.from('odd')),
    (send: ReturnType<typeof raw>['send']) => send(2, MUX_TYPE.open, Buffer.alloc(65)),
    (send: ReturnType<typeof raw>['send']) => {
      send(2, MUX_TYPE.open, Buffer.from('a'))
      send(2, MUX_TYPE.open, Buffer.from('a'))
    },
    (send: ReturnType<typeof raw>['send']) => send(2, 9),
  ]) {
    const { guest, far, send } = raw(accepting)
    far.resume()
    misdeed(send)
    assert.ok((await guest.closed) instanceof Error)
  }
})

test('more streams than allowed are refused on both sides', async () => {
  const { guest, far, send } = raw({
    maxStreams: 1,
    accepts: () => true,
    onStream: (s) => s.on('error', () => undefined),
  })
  send(2, MUX_TYPE.open, Buffer.from('a'))
  await once(far, 'data')
  await assert.rejects(guest.open('b'), isReset('too-many-streams'))
  send(4, MUX_TYPE.open, Buffer.from('a'))
  const [answer] = (await once(far, 'data')) as [Buffer]
  assert.equal(answer[4], MUX_TYPE.reset)
})

test('random frames and bytes end the connection at most', async () => {
  const frame = fc
    .tuple(fc.nat(8), fc.nat(8), fc.uint8Array({ maxLength: 40 }))
    .map(([id, type, payload]) =>
      Buffer.concat([encodeMuxHeader(id, type, payload.length), payload]),
    )
  const bytes = fc.uint8Array({ maxLength: 40 }).map((data) => Buffer.from(data))
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(frame, bytes), { maxLength: 15 }), async (pieces) => {
      const { guest, far } = raw({
        accepts: () => true,
        onStream: (stream) =>
          stream
            .on('error', () => undefined)
            .resume()
            .end('x'),
      })
      far.resume()
      const opening = guest.open('x').then(
        (stream) => stream.on('error', () => undefined).end('y'),
        () => undefined,
      )
      for (const piece of pieces) far.write(piece)
      await new Promise(setImmediate)
      guest.close()
      await opening
      await guest.closed
    }),
    { numRuns: 200 },
  )
})
