/** A guest that lies: what it costs hostd is bounded, and other workloads go on. */
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isCode } from '@cloister/protocol/testing'
import { STATUS, TtrpcError } from '@cloister/protocol/ttrpc/status'
import { FakeMachine } from './fake-machine.ts'
import { startFixture, startRequest, type Fixture } from './fixture.ts'

/** Garbage of both sides, which share this process, that is not collected yet; a flood is many times that. */
const ALLOWED_GROWTH_BYTES = 192 << 20
const MARKER = 'CLOISTER-SESSION'

/** Answers the marker of hostd's session, then calls `then`. */
function afterSession(socket: Socket, then: () => void): void {
  let seen = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    seen = Buffer.concat([seen, chunk])
    const at = seen.indexOf(MARKER)
    if (at === -1 || seen.length < at + 32) return
    socket.removeAllListeners('data')
    socket.resume()
    socket.write(seen.subarray(at, at + 32))
    then()
  })
}

/** Writes a piece again and again, as fast as it is taken, for a while. */
function flood(socket: Socket, piece: Buffer, durationMs: number): void {
  const end = Date.now() + durationMs
  const write = () => {
    while (!socket.destroyed && Date.now() < end) if (!socket.write(piece)) return
  }
  socket.on('drain', write)
  write()
}

function ttrpcFrame(streamId: number, type: number, length: number, body: number): Buffer {
  const frame = Buffer.alloc(10 + body)
  frame.writeUInt32BE(length, 0)
  frame.writeUInt32BE(streamId, 4)
  frame[8] = type
  return frame
}

async function watchGrowth(hostd: Fixture, durationMs: number): Promise<number> {
  const before = process.memoryUsage().rss
  let most = 0
  const end = Date.now() + durationMs
  while (Date.now() < end) {
    const asked = performance.now()
    await hostd.client.info()
    assert.ok(performance.now() - asked < 2_000, 'hostd answers meanwhile')
    most = Math.max(most, process.memoryUsage().rss - before)
    await sleep(50)
  }
  return most
}

const LIES: Readonly<Record<string, (socket: Socket) => void>> = {
  'noise and never a session': (socket) => flood(socket, Buffer.alloc(64 << 10, 0xa5), 1_500),
  'half markers': (socket) => flood(socket, Buffer.from(MARKER.slice(0, 12).repeat(4000)), 1_500),
  'answers to calls that were never made': (socket) =>
    afterSession(socket, () => flood(socket, ttrpcFrame(7777, 2, 60_000, 60_000), 1_500)),
  'a length beyond the limit, in each session': (socket) =>
    afterSession(socket, () => socket.write(ttrpcFrame(1, 2, 0xffffffff, 100))),
  'a frame of 4 MiB that never ends': (socket) =>
    afterSession(socket, () => socket.write(ttrpcFrame(1, 2, 4 << 20, 1000))),
  'answers that are no messages': (socket) =>
    afterSession(socket, () => flood(socket, ttrpcFrame(1, 2, 500, 500).fill(0xff, 10), 1_500)),
  'hanging up at once': (socket) => socket.destroy(),
}

for (const [lie, agentPort] of Object.entries(LIES))
  test(`a guest that sends ${lie} costs bounded memory and is ended`, async () => {
    await using machine = new FakeMachine({
      agentPort,
      stages: ['initrd'],
      deadlines: { initrd: 1_500 },
    })
    await using hostd = await startFixture(machine)
    await hostd.client.start(startRequest())
    const growth = await watchGrowth(hostd, 1_000)
    assert.ok(growth < ALLOWED_GROWTH_BYTES, `${growth >> 20} MiB`)
    const { error } = await hostd.until('web', ({ state }) => state === 'failed')
    assert.ok(['guest.stage-timeout', 'guest.misbehaved'].includes(error?.code ?? ''), error?.code)
    assert.ok(machine.only.isGone)
  })

test('output without end is kept to its bound, and hostd answers meanwhile', async () => {
  const data = Buffer.alloc(32 << 10, 'x')
  await using machine = new FakeMachine({ behaviour: { ReadStdout: () => ({ data }) } })
  await using hostd = await startFixture(machine)
  await hostd.client.start(startRequest())
  await hostd.until('web', ({ state }) => state === 'running')
  const growth = await watchGrowth(hostd, 1_500)
  assert.ok(growth < ALLOWED_GROWTH_BYTES, `${growth >> 20} MiB`)
  let bytes = 0
  for await (const { text } of hostd.client.logs('web')) bytes += text.length
  assert.ok(bytes <= 17 << 20, `${bytes}`)
})

test('output in one piece larger than asked for is taken in pieces', async () => {
  let isFirst = true
  const data = Buffer.alloc(3 << 20, 0)
  await using machine = new FakeMachine({
    behaviour: {
      ReadStdout: () => {
        const answer = isFirst ? { data } : {}
        isFirst = false
        return answer
      },
    },
  })
  await using hostd = await startFixture(machine)
  await hostd.client.start(startRequest())
  await hostd.until('web', ({ state }) => state === 'running')
  machine.only.exit(0)
  await hostd.until('web', ({ state }) => state === 'exited')
  let bytes = 0
  for await (const { text } of hostd.client.logs('web')) bytes += text.length
  assert.ok(bytes > 1 << 20 && bytes <= 3 << 20)
})

test('a guest that never answers a call is a code, and the workload goes on', async () => {
  await using machine = new FakeMachine({
    behaviour: { GetEvidence: () => new Promise(() => {}) },
  })
  await using hostd = await startFixture(machine)
  await hostd.client.start(startRequest())
  await hostd.until('web', ({ state }) => state === 'running')
  const gone = AbortSignal.timeout(100)
  await assert.rejects(hostd.client.evidence('web', new Uint8Array(16), { signal: gone }))
  assert.equal((await hostd.client.status('web')).attestations, 1)
})

test('a guest that answers a start with an error of its own making is ended with a code', async () => {
  await using machine = new FakeMachine({
    behaviour: {
      CreateSandbox: () => {
        throw new Error('anything')
      },
    },
  })
  await using hostd = await startFixture(machine)
  await hostd.client.start(startRequest())
  const { error } = await hostd.until('web', ({ state }) => state === 'failed')
  assert.equal(error?.code, 'internal.bug')
  assert.match(error?.where ?? '', /guest/)
})

test('a guest that hangs up on each session of its streams is not reconnected to in a loop', async () => {
  let connections = 0
  await using machine = new FakeMachine({
    netPort: (socket) => {
      connections++
      socket.destroy()
    },
  })
  await using hostd = await startFixture(machine)
  await hostd.client.start(startRequest())
  await hostd.until('web', ({ state }) => state === 'running')
  const before = connections
  await sleep(1_000)
  assert.ok(connections - before <= 5, `${connections - before}`)
  const asked = hostd.client.connect('web')
  setTimeout(() => machine.only.exit(0), 50)
  await assert.rejects(asked, isCode('workload.not-running'))
})

test('a guest cannot speak in the name of the host', async () => {
  await using machine = new FakeMachine({
    behaviour: {
      GetEvidence: () => {
        throw new TtrpcError(STATUS.notFound, 'workload.not-found')
      },
    },
  })
  await using hostd = await startFixture(machine)
  await hostd.client.start(startRequest())
  await hostd.until('web', ({ state }) => state === 'running')
  await assert.rejects(hostd.client.evidence('web', new Uint8Array(16)), isCode('guest.misbehaved'))
})

test('streams that the guest opens without end are refused beyond the bound', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await hostd.client.start(startRequest())
  await hostd.until('web', ({ state }) => state === 'running')
  const mux = machine.only.mux
  assert.ok(mux)
  const opened = await Promise.allSettled(Array.from({ length: 2000 }, () => mux.open('nowhere')))
  assert.ok(opened.every(({ status }) => status === 'rejected'))
  await hostd.client.info()
})

test('a dead target resets the guest’s stream', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await hostd.client.start(startRequest())
  await hostd.until('web', ({ state }) => state === 'running')
  await assert.rejects(async () => {
    const stream = await machine.only.mux?.open('broker')
    for await (const chunk of stream ?? []) void chunk
  })
  await assert.rejects(hostd.client.get('other'), isCode('workload.not-found'))
})
