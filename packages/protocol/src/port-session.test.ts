import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import * as fc from 'fast-check'
import type { FrameChannel } from './frame-channel.ts'
import { FrameReader, SESSION_MARKER } from './framing.ts'
import { openPortSession, servePortSessions } from './port-session.ts'
import { streamPair } from './testing.ts'
import { encodeTtrpcHeader, TTRPC_FRAMING } from './ttrpc/frame.ts'

const PAYLOAD = Buffer.from('hello')
const FRAME = Buffer.concat([encodeTtrpcHeader(1, 1, PAYLOAD), PAYLOAD])

function collect(channel: FrameChannel): { frames: Buffer[]; closed: Promise<Error | undefined> } {
  const frames: Buffer[] = []
  const { promise, resolve } = Promise.withResolvers<Error | undefined>()
  channel.start({ frame: (bytes) => frames.push(Buffer.from(bytes)), closed: resolve })
  return { frames, closed: promise }
}

/** A server that answers each frame with itself, and counts its sessions. */
function echoServer(stallMs = 1000) {
  const [host, guest] = streamPair()
  const sessions: Promise<Error | undefined>[] = []
  servePortSessions(
    guest,
    TTRPC_FRAMING,
    (channel) => {
      const { promise, resolve } = Promise.withResolvers<Error | undefined>()
      sessions.push(promise)
      channel.start({ frame: (bytes) => void channel.send(bytes), closed: resolve })
    },
    { stallMs },
  )
  return { host, sessions }
}

/** Bytes of the port as the next client finds them, for a client that comes after one that died. */
async function echoThrough(host: ReturnType<typeof streamPair>[0]): Promise<Buffer> {
  const channel = await openPortSession(host, TTRPC_FRAMING, { timeoutMs: 5000 })
  const { promise, resolve } = Promise.withResolvers<Buffer>()
  channel.start({ frame: (bytes) => resolve(Buffer.from(bytes)), closed: () => undefined })
  channel.send(FRAME)
  return promise
}

test('a session carries frames both ways', async () => {
  const { host } = echoServer()
  assert.deepEqual(await echoThrough(host), FRAME)
})

test('a new client gets its session after one that died between frames', async () => {
  const { host, sessions } = echoServer()
  host.write(Buffer.concat([SESSION_MARKER, randomBytes(16), FRAME]))
  assert.deepEqual(await echoThrough(host), FRAME)
  assert.equal(sessions.length, 2)
  assert.ok((await sessions[0]) instanceof Error)
})

test('a new client gets its session after one that died in the middle of a frame or header', async () => {
  for (const cut of [1, 9, 12]) {
    const { host } = echoServer(50)
    host.write(Buffer.concat([SESSION_MARKER, randomBytes(16), FRAME, FRAME.subarray(0, cut)]))
    assert.deepEqual(await echoThrough(host), FRAME)
  }
})

test('a new client gets its session after one that died in a frame longer than all that follows', async () => {
  const { host } = echoServer(50)
  const half = encodeTtrpcHeader(1, 1, Buffer.alloc(1 << 20))
  host.write(Buffer.concat([SESSION_MARKER, randomBytes(16), half, PAYLOAD]))
  assert.deepEqual(await echoThrough(host), FRAME)
})

test('a frame whose content is a marker stays a frame', async () => {
  const content = Buffer.concat([SESSION_MARKER, randomBytes(16)])
  const frame = Buffer.concat([encodeTtrpcHeader(1, 1, content), content])
  const { host, sessions } = echoServer()
  const channel = await openPortSession(host, TTRPC_FRAMING)
  const answered = Promise.withResolvers<Buffer>()
  channel.start({ frame: (bytes) => answered.resolve(Buffer.from(bytes)), closed: () => undefined })
  channel.send(frame)
  assert.deepEqual(await answered.promise, frame)
  assert.equal(sessions.length, 1)
})

test('a length error ends the session, which its client is told, and not the server', async () => {
  const { host, sessions } = echoServer()
  const hello = Buffer.concat([SESSION_MARKER, randomBytes(16)])
  const noSession = Buffer.concat([SESSION_MARKER, Buffer.alloc(16)])
  const received: Buffer[] = []
  host.on('data', (chunk: Buffer) => received.push(chunk))
  host.write(Buffer.concat([hello, Buffer.alloc(10, 0xff)]))
  while (Buffer.concat(received).length < hello.length + noSession.length) await once(host, 'data')
  assert.ok((await sessions[0]) instanceof Error)
  assert.deepEqual(Buffer.concat(received), Buffer.concat([hello, noSession]))
  host.removeAllListeners('data')
  assert.deepEqual(await echoThrough(host), FRAME)
})

test('a client whose session the server has given up is told at once', async () => {
  const { host } = echoServer()
  const channel = await openPortSession(host, TTRPC_FRAMING)
  const { closed } = collect(channel)
  channel.send(Buffer.alloc(10, 0xff))
  assert.ok((await closed) instanceof Error)
})

test('a frame that stands still for longer than a stall and then goes on is delivered', async () => {
  const { host } = echoServer(20)
  const channel = await openPortSession(host, TTRPC_FRAMING)
  const { frames } = collect(channel)
  host.write(FRAME.subarray(0, FRAME.length - 1))
  await sleep(60)
  host.write(FRAME.subarray(FRAME.length - 1))
  while (frames.length === 0) await sleep(1)
  assert.deepEqual(frames, [FRAME])
})

test('a client discards what was written for one before, another session id included', async () => {
  const [host, guest] = streamPair()
  guest.write(Buffer.concat([FRAME, SESSION_MARKER, randomBytes(16), FRAME]))
  const opening = openPortSession(host, TTRPC_FRAMING)
  const [hello] = (await once(guest, 'data')) as [Buffer]
  guest.write(Buffer.concat([hello, FRAME]))
  const { frames, closed } = collect(await opening)
  guest.end()
  await closed
  assert.deepEqual(frames, [FRAME])
})

test('a repeated marker of the same client neither ends its session nor is answered twice', async () => {
  const { host, sessions } = echoServer()
  const hello = Buffer.concat([SESSION_MARKER, randomBytes(16)])
  const received: Buffer[] = []
  host.on('data', (chunk: Buffer) => received.push(chunk))
  host.write(hello)
  host.write(hello)
  host.write(FRAME)
  while (Buffer.concat(received).length < hello.length + FRAME.length) await once(host, 'data')
  assert.deepEqual(Buffer.concat(received), Buffer.concat([hello, FRAME]))
  assert.equal(sessions.length, 1)
})

test('openPortSession() ends at its time and at its signal', async () => {
  await assert.rejects(openPortSession(streamPair()[0], TTRPC_FRAMING, { timeoutMs: 10 }))
  const aborted = AbortSignal.abort(new Error('stop'))
  await assert.rejects(openPortSession(streamPair()[0], TTRPC_FRAMING, { signal: aborted }), /stop/)
})

test('FrameReader gives the same events however the bytes are cut', () => {
  const stream = Buffer.concat([
    FRAME,
    FRAME,
    SESSION_MARKER,
    Buffer.alloc(16, 1),
    FRAME,
    Buffer.from('CLOISTER-NO'),
    FRAME,
    SESSION_MARKER,
    Buffer.alloc(16, 2),
    FRAME,
  ])
  const events = (cuts: readonly number[]) => {
    const seen: string[] = []
    const reader = new FrameReader(
      TTRPC_FRAMING,
      {
        frame: (bytes) => seen.push(`frame ${Buffer.from(bytes).toString('hex')}`),
        session: (id) => seen.push(`session ${Buffer.from(id).toString('hex')}`),
        broken: () => seen.push('broken'),
      },
      'frames',
    )
    let start = 0
    for (const cut of [...cuts.toSorted((a, b) => a - b), stream.length]) {
      reader.push(stream.subarray(start, cut))
      start = cut
    }
    return seen
  }
  const whole = events([])
  assert.deepEqual(
    whole.map((event) => event.split(' ')[0]),
    ['frame', 'frame', 'session', 'frame', 'broken', 'session', 'frame'],
  )
  fc.assert(
    fc.property(fc.array(fc.nat(stream.length), { maxLength: 20 }), (cuts) => {
      assert.deepEqual(events(cuts), whole)
    }),
    { numRuns: 200 },
  )
})
