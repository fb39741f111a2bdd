import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { test } from 'node:test'
import { connect, type TLSSocket } from 'node:tls'
import { exchange } from '../testing/https-exchange.ts'
import { startTestBroker, type TestBroker } from '../testing/test-broker.ts'
import { Metrics } from './metrics.ts'
import { newRequestId } from '../request-id.ts'
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

test('newRequestId() gives 32 hex digits, and none twice', () => {
  const ids = Array.from({ length: 1000 }, newRequestId)
  assert.equal(new Set(ids).size, 1000)
  for (const id of ids) assert.match(id, /^[0-9a-f]{32}$/)
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

/** Two addresses of one machine. */
const [HERE, ELSEWHERE] = ['127.0.0.1', '127.0.0.2']

async function tls({ broker: { address } }: TestBroker, localAddress = HERE): Promise<TLSSocket> {
  // The peer is the attacker here: it does not care who answers.
  const tcp = connectTcp({ ...address, localAddress })
  tcp.on('error', () => undefined)
  const socket = connect({ socket: tcp, rejectUnauthorized: false })
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

test('bodies under way share one bound: the oldest goes of the address that sends most', async () => {
  await using t = await startTestBroker({ limits: { bodiesBytes: 1000 } })
  const begin = async (localAddress: string, bytes: number) => {
    const socket = await tls(t, localAddress)
    socket.write(`${HEAD}content-length: ${bytes + 1}\r\n\r\n${' '.repeat(bytes)}`)
    return { socket, answer: once(socket, 'data').then(([chunk]) => String(chunk)) }
  }
  // One after the other, so that each is older than the next.
  const few = await begin(HERE, 200)
  const oldest = await begin(ELSEWHERE, 300)
  const others = [await begin(ELSEWHERE, 300), await begin(ELSEWHERE, 300)]
  assert.match(await oldest.answer, /^HTTP\/1.1 503 .*\[broker.busy /s)
  oldest.socket.destroy()
  const body = JSON.stringify({ version: '0.4.0', tee: 'snp', 'extra-params': '' })
  const { status } = await exchange(`${t.broker.url}/kbs/v0/auth`, t.agent, {
    method: 'POST',
    body,
  })
  assert.equal(status, 200)
  // They end as what they are: no JSON.
  for (const { socket, answer } of [few, ...others]) {
    socket.write(' ')
    assert.match(await answer, /^HTTP\/1.1 401 /)
    socket.destroy()
  }
})

test('connections are bounded: the oldest goes of the address that has most, and others get in and stay', async () => {
  await using t = await startTestBroker({ limits: { connections: 6 } })
  const { address } = t.broker
  const ours = await tls(t, HERE)
  const open = (localAddress: string) => {
    const socket = connectTcp({ ...address, localAddress })
    socket.on('error', () => undefined)
    return socket
  }
  const silent = Array.from({ length: 20 }, () => open(ELSEWHERE))
  const others = Promise.withResolvers<void>()
  let closed = 0
  for (const socket of silent)
    socket.once('close', () => {
      if (++closed === 15) others.resolve()
    })
  await others.promise
  const { status } = await exchange(`${t.broker.url}/healthz`, t.agent, { method: 'GET' })
  assert.equal(status, 200)
  ours.write('GET /healthz HTTP/1.1\r\nhost: b\r\n\r\n')
  const [answer] = (await once(ours, 'data')) as [Buffer]
  assert.match(answer.toString(), /^HTTP\/1.1 200 /)
  for (const socket of [ours, ...silent]) socket.destroy()
})

test('a connection that makes room ends as one that its peer broke off, whatever it was at', async () => {
  const bugs: unknown[] = []
  await using t = await startTestBroker({
    limits: { connections: 2 },
    onBug: (error) => bugs.push(error),
  })
  const begun = [
    '',
    'GET /healthz HTTP/1.1\r\nhost: b\r\n\r\n',
    'POST /kbs/v0/auth HTTP/1.1\r\nho',
    `${HEAD}content-length: 50\r\n\r\n{`,
  ]
  const closed: Promise<unknown>[] = []
  for (const text of begun) {
    const socket = await tls(t)
    closed.push(once(socket.resume(), 'close'))
    socket.write(text)
  }
  // Two more, for the two that are left.
  const last = [await tls(t), await tls(t)]
  await Promise.all(closed)
  for (const socket of last) socket.destroy()
  assert.equal((await t.admin('GET', '/status')).status, 200)
  assert.deepEqual(bugs, [])
})

test('a broker that stops waits for no peer that says nothing', async () => {
  const t = await startTestBroker({ limits: { handshakeMs: 60_000, drainMs: 100 } })
  const { address } = t.broker
  const idle = [connectTcp({ ...address }), await tls(t)]
  for (const socket of idle) socket.on('error', () => undefined)
  const closed = Promise.all(idle.map((socket) => once(socket, 'close')))
  await t[Symbol.asyncDispose]()
  await closed
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

const request = (line: string, headers: readonly string[] = ['host: b']): string =>
  [`${line} HTTP/1.1`, ...headers, 'connection: close', '', ''].join('\r\n')
const attempt = (path: string, body: string, headers: readonly string[] = []): string =>
  request(`POST ${path}`, ['host: b', `content-length: ${Buffer.byteLength(body)}`, ...headers]) +
  body
const nested = '['.repeat(500_000) + ']'.repeat(500_000)

/** What a hostile peer may send, and the status that it gets. Absent: the connection ends without a word. */
const HOSTILE: readonly (readonly [status: number | undefined, text: string])[] = [
  [404, request('GET /kbs/v0/../../cloister/v1/status')],
  [404, request('GET //cloister/v1/status')],
  [404, request('GET /CLOISTER/v1/status')],
  [404, request('GET /kbs/v0/__proto__')],
  [404, request('GET /kbs/v0/constructor/x')],
  [404, request('GET /%')],
  [400, request('GET *')],
  [401, request('GET /cloister/v1/status')],
  [401, request('GET https://elsewhere/cloister/v1/status')],
  [401, request('GET /cloister/v1/x/../status')],
  [401, request('GET /cloister/v1/secrets/..%2f..%2fetc%2fpasswd')],
  [401, request('GET /cloister/v1/status', ['host: b', 'authorization: Bearer a.b.c'])],
  [401, request('GET /cloister/v1/x', ['host: b', `authorization: Bearer ${'a.'.repeat(20_000)}`])],
  [401, request('DELETE /kbs/v0/resource/a/b/c')],
  [401, request('GET /kbs/v0/resource/%2e%2e/%2f/x')],
  [401, request(`GET /kbs/v0/resource/${'%ff'.repeat(1000)}`)],
  [401, request('GET /kbs/v0/resource/a/b/c', ['host: b', 'authorization: Bearer '])],
  [
    401,
    request('GET /kbs/v0/resource/a/b/c', [
      'host: b',
      `authorization: Bearer ${'x'.repeat(60_000)}`,
    ]),
  ],
  [
    401,
    request('GET /kbs/v0/resource/a/b/c', [
      'host: b',
      `cookie: ${'a=b;kbs-session-id=;'.repeat(3000)}`,
    ]),
  ],
  ...['', 'a b', '[', 'a:99999', 'a/b', 'a@b'].map(
    (host) => [400, request('GET /cloister/v1/status', [`host: ${host}`])] as const,
  ),
  [400, request('GET /healthz', ['host: b', 'x: \0'])],
  [
    400,
    request('POST /kbs/v0/auth', ['host: b', 'content-length: 2', 'transfer-encoding: chunked']),
  ],
  [400, request('POST /kbs/v0/auth', ['host: b', 'content-length: -1'])],
  [400, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  [undefined, request('CONNECT b:1')],
  [417, request('POST /kbs/v0/auth', ['host: b', 'expect: x', 'content-length: 0'])],
  ...['', '{', 'null', '[]', '1e999', '\ufeff{}', '{"__proto__":{"version":"0.4.0"}}', nested].map(
    (body) => [body.length > 16_384 ? 413 : 401, attempt('/kbs/v0/auth', body)] as const,
  ),
  [401, attempt('/kbs/v0/attest', nested)],
  [401, attempt('/kbs/v0/guest-refusals', '{}')],
]

test('whatever a hostile peer sends, it gets a refusal, and nothing of the broker breaks', async () => {
  const bugs: unknown[] = []
  await using t = await startTestBroker({ onBug: (error) => bugs.push(error) })
  for (const [status, text] of HOSTILE) {
    const socket = await tls(t)
    socket.write(text)
    const answer = await closing(socket)
    const expected = status === undefined ? /^$/ : new RegExp(`^HTTP/1.1 ${status} `)
    assert.match(answer, expected, JSON.stringify(text.slice(0, 100)))
    // No stack, no file, no library of ours.
    assert.doesNotMatch(answer, /node:|\.ts\b|node_modules/)
  }
  const { status } = await t.admin('GET', '/status')
  assert.equal(status, 200)
  assert.deepEqual(bugs, [])
})

test('a port that is taken is a failure with a code', async () => {
  await using t = await startTestBroker()
  const listen = { host: '127.0.0.1', port: t.broker.address.port }
  await assert.rejects(startTestBroker({ listen }), { code: 'broker.listen' })
})
