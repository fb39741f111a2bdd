import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { test } from 'node:test'
import { connect, type TLSSocket } from 'node:tls'
import { exchange } from '../testing/https-exchange.ts'
import { startTestBroker, type TestBroker } from '../testing/test-broker.ts'
import { Metrics } from './metrics.ts'
import { RateLimit } from './rate-limit.ts'

test('RateLimit lets a burst pass, then so many a second, for each address', () => {
  const rate = new RateLimit({ burst: 3, perSecond: 2, addresses: 2 })
  const take = (now: number, address = 'a') => rate.take(address, now)
  assert.deepEqual([take(0), take(0), take(0), take(0)], [true, true, true, false])
  assert.equal(take(0, 'b'), true)
  assert.deepEqual([take(500), take(500)], [true, false])
  // A clock that goes back neither gives nor takes.
  assert.equal(take(-10_000), false)
  assert.equal(take(-9000), true)
})

test('RateLimit remembers a bounded number of addresses', () => {
  const rate = new RateLimit({ burst: 1, perSecond: 0, addresses: 2 })
  for (const address of ['a', 'b', 'c']) assert.equal(rate.take(address, 0), true)
  assert.equal(rate.take('c', 0), false)
  assert.equal(rate.take('a', 0), true)
})

test('Metrics writes every counter, also at zero', () => {
  const metrics = new Metrics()
  metrics.count('kbs_auth_requests_total')
  metrics.countResponse(401)
  const text = metrics.text()
  assert.match(text, /^kbs_auth_requests_total 1$/m)
  assert.match(text, /^kbs_http_requests_total\{code="4xx"\} 1$/m)
  assert.match(text, /^kbs_policy_violations_total 0$/m)
})

test('the broker answers 503 with a retryable code to an address that asks too often', async () => {
  await using t = await startTestBroker({ limits: { burst: 2, perSecond: 0 } })
  const ask = () => exchange(`${t.broker.url}/healthz`, t.agent, { method: 'GET' })
  assert.deepEqual([(await ask()).status, (await ask()).status], [200, 200])
  const { status, text } = await ask()
  assert.equal(status, 503)
  assert.equal(JSON.parse(text).code, 'broker.busy')
  // The owner has a measure of his own.
  assert.equal((await t.admin('GET', '/status')).status, 200)
})

async function tls({ broker: { address } }: TestBroker): Promise<TLSSocket> {
  // The peer is the attacker here: it does not care who answers.
  const socket = connect({ ...address, rejectUnauthorized: false })
  socket.on('error', () => undefined)
  await once(socket, 'secureConnect')
  return socket
}

/** What the broker says before it closes the connection. */
async function closing(socket: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  await once(socket, 'close')
  return Buffer.concat(chunks).toString()
}

const HEAD = 'POST /kbs/v0/auth HTTP/1.1\r\nhost: broker\r\ncontent-type: application/json\r\n'

test('a body beyond the limit is refused, by its declared length and by counting', async () => {
  await using t = await startTestBroker({ limits: { authBytes: 100 } })
  for (const end of [
    'content-length: 101\r\n\r\n',
    `transfer-encoding: chunked\r\n\r\n80\r\n${'x'.repeat(128)}\r\n`,
  ]) {
    const socket = await tls(t)
    socket.write(HEAD + end)
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    assert.match(chunk.toString(), /^HTTP\/1.1 413 /)
    assert.match(chunk.toString(), /\[broker.body-too-large [0-9a-f]{32}\]/)
    socket.destroy()
  }
})

test('bodies under way share one bound', async () => {
  await using t = await startTestBroker({ limits: { bodiesBytes: 1000 } })
  const slow = await tls(t)
  slow.write(`${HEAD}content-length: 900\r\n\r\n${'x'.repeat(800)}`)
  const body = JSON.stringify({ version: '0.4.0', tee: 'snp', 'extra-params': 'x'.repeat(300) })
  const ask = () =>
    exchange(`${t.broker.url}/kbs/v0/auth`, t.agent, { method: 'POST', body }).then(
      ({ status }) => status,
    )
  while ((await ask()) !== 503) await new Promise(setImmediate)
  slow.destroy()
  while ((await ask()) !== 200) await new Promise(setImmediate)
})

test('slow peers are cut off: no handshake, no head, no body', async () => {
  const limits = { handshakeMs: 300, headMs: 300, requestMs: 600 }
  await using t = await startTestBroker({ limits })
  const { address } = t.broker
  const silent = connectTcp(address.port, address.host)
  silent.on('error', () => undefined)
  const quiet = await tls(t)
  const halfHead = await tls(t)
  halfHead.write('POST /kbs/v0/auth HTTP/1.1\r\nhost: br')
  const halfBody = await tls(t)
  halfBody.write(`${HEAD}content-length: 50\r\n\r\n{`)
  const said = await Promise.all([silent, quiet, halfHead, halfBody].map(closing))
  assert.deepEqual(
    said.slice(2).map((text) => text.slice(0, 12)),
    ['HTTP/1.1 408', 'HTTP/1.1 408'],
  )
})

test('a head beyond the limit is refused', async () => {
  await using t = await startTestBroker({ limits: { headBytes: 8192 } })
  const socket = await tls(t)
  socket.write(`GET /healthz HTTP/1.1\r\nhost: b\r\ncookie: ${'x'.repeat(9000)}\r\n\r\n`)
  assert.match(await closing(socket), /^HTTP\/1.1 431 /)
})

test('a port that is taken is a failure with a code', async () => {
  await using t = await startTestBroker()
  const listen = { host: '127.0.0.1', port: t.broker.address.port }
  await assert.rejects(startTestBroker({ listen }), { code: 'broker.listen' })
})
