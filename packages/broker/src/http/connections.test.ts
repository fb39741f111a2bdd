import assert from 'node:assert/strict'
import { createServer, Socket } from 'node:net'
import { test } from 'node:test'
import { exchange } from '../testing/https-exchange.ts'
import { startTestBroker } from '../testing/test-broker.ts'
import { boundConnections } from './connections.ts'

/** A connection as Node's server hands it over, from an address that this machine cannot connect from. */
function connectionFrom(remoteAddress: string): Socket {
  const socket = new Socket()
  Object.defineProperty(socket, 'remoteAddress', { value: remoteAddress })
  return socket
}

function boundServer(limits: { connectionBurst: number; connectionsPerSecond: number }) {
  const taken: Socket[] = []
  const server = createServer((socket) => taken.push(socket))
  const clock = { now: 0 }
  let refused = 0
  boundConnections(server, {
    limits: { connections: 100, addresses: 100, ...limits },
    now: () => clock.now,
    onRefused: () => refused++,
  })
  /** @returns whether it got as far as the server's own listener, where TLS begins */
  const connect = (address: string): boolean => {
    const socket = connectionFrom(address)
    server.emit('connection', socket)
    const isTaken = taken.at(-1) === socket
    assert.equal(socket.destroyed, !isTaken)
    return isTaken
  }
  return { connect, clock, refused: () => refused }
}

test('connections of one address come as fast as the bound lets them, those of others beside them', () => {
  const { connect, clock, refused } = boundServer({ connectionBurst: 3, connectionsPerSecond: 2 })
  const from = (address: string, times: number) =>
    Array.from({ length: times }, () => connect(address))
  assert.deepEqual(from('192.0.2.1', 5), [true, true, true, false, false])
  assert.deepEqual(from('192.0.2.2', 1), [true])
  clock.now = 1000
  assert.deepEqual(from('192.0.2.1', 3), [true, true, false])
  assert.equal(refused(), 3)
})

test('a network of IPv6 has the bound of one address, whatever address of it connects', () => {
  const { connect } = boundServer({ connectionBurst: 2, connectionsPerSecond: 0 })
  const taken = ['2001:db8::1', '2001:db8::2', '2001:db8::3', '2001:db8:0:1::1'].map(connect)
  assert.deepEqual(taken, [true, true, false, true])
})

test('the machine itself connects as often as it likes, by whatever name of its own', () => {
  const { connect } = boundServer({ connectionBurst: 1, connectionsPerSecond: 0 })
  for (const address of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1'])
    assert.deepEqual([connect(address), connect(address), connect(address)], [true, true, true])
  // None of these is the machine itself.
  for (const address of ['128.0.0.1', '::ffff:192.0.2.7', '::2', '::ffff:128.0.0.1'])
    assert.deepEqual([connect(address), connect(address)], [true, false])
})

test("the broker's server has the bound, and its owner's commands on the same machine get through", async () => {
  await using t = await startTestBroker({
    limits: { connectionBurst: 1, connectionsPerSecond: 0 },
  })
  for (let n = 0; n < 3; n++) {
    const headers = { connection: 'close' }
    const health = { method: 'GET', headers }
    assert.equal((await exchange(`${t.broker.url}/healthz`, t.agent, health)).status, 200)
  }
  const { text } = await exchange(`${t.broker.url}/metrics`, t.agent, { method: 'GET' })
  assert.match(text, /^kbs_connections_refused_total 0$/m)
})
