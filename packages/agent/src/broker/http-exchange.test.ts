import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'
import { test } from 'node:test'
import { httpExchange } from './http-exchange.ts'

const request = (signal: AbortSignal) =>
  ({ method: 'GET', path: '/', headers: { host: 'broker' }, signal }) as const

test('an exchange ends with its signal, also while the connection is still being made', async () => {
  const stop = new AbortController()
  const never = new Promise<never>(() => undefined)
  const exchange = httpExchange(() => never)(request(stop.signal))
  setImmediate(() => stop.abort(new Error('enough')))
  await assert.rejects(exchange, { message: 'enough' })
})

test('an exchange with a server that takes the request and says nothing ends with its signal', async () => {
  const server = createServer((socket) => socket.on('error', () => undefined).resume())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const stop = new AbortController()
  const exchange = httpExchange(async () => connect(port, '127.0.0.1'))(request(stop.signal))
  server.once('connection', () => stop.abort(new Error('enough')))
  await assert.rejects(exchange, { message: 'enough' })
  server.close()
})
