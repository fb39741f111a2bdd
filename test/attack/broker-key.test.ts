/** A broker with another key: neither a guest nor the owner says a word to it. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createServer } from 'node:tls'
import { httpExchange } from '@cloister/agent/broker/http-exchange'
import { connectPinned } from '@cloister/agent/broker/pinned-tls'
import { channelCertificate } from '@cloister/agent/channel/certificate'
import { makeGuestKey } from '@cloister/agent/keys'
import { startTestBroker } from '@cloister/broker/testing/test-broker'
import { openAdminKey } from '@cloister/cli/owner/admin-key'
import { BrokerClient } from '@cloister/cli/owner/broker-client'

/** Answers TLS with a key of its own. */
async function startImpostor() {
  const key = makeGuestKey()
  const heard: Buffer[] = []
  const server = createServer({
    key: key.privateKey.export({ type: 'pkcs8', format: 'pem' }),
    cert: channelCertificate(key, Math.floor(Date.now() / 1000) - 60),
  })
  server.on('secureConnection', (socket) => {
    socket.on('data', (chunk: Buffer) => heard.push(chunk))
    socket.on('error', () => undefined)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    heard,
    async [Symbol.asyncDispose]() {
      server.close()
      await once(server, 'close')
    },
  }
}

test('a guest does not speak to a broker with another key than its initdata pins', async () => {
  await using honest = await startTestBroker()
  await using impostor = await startImpostor()
  const askAt = async (port: number) => {
    const signal = AbortSignal.timeout(30_000)
    const exchange = httpExchange(
      async () =>
        await connectPinned(connect(port, '127.0.0.1'), {
          spki: [honest.broker.spki],
          serverName: 'broker',
          signal,
        }),
    )
    return await exchange({ method: 'GET', path: '/healthz', headers: {}, signal })
  }
  assert.equal((await askAt(Number(new URL(honest.broker.url).port))).status, 200)
  await assert.rejects(askAt(impostor.port), { code: 'agent.broker-untrusted' })
  assert.deepEqual(impostor.heard, [])
})

test("the owner's commands do not speak to a broker with another key than the pinned one", async (t) => {
  const owner = await mkdtemp(join(tmpdir(), 'cl-owner-'))
  t.after(async () => {
    await rm(owner, { recursive: true })
  })
  await using honest = await startTestBroker()
  await using impostor = await startImpostor()
  const { spki, tokenSigner } = honest.broker
  const url = `https://127.0.0.1:${impostor.port}`
  const client = new BrokerClient({ url, spki: [spki], tokenSigner }, openAdminKey({ owner }))
  const secret = { value: 'c2VjcmV0', allowSimulated: true }
  await assert.rejects(client.putSecret('default/demo/secret', secret), {
    code: 'owner.broker-pin-mismatch',
  })
  assert.deepEqual(impostor.heard, [])
})
