import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { channelCertificate } from '@cloister/agent/channel/certificate'
import { channelServer } from '@cloister/agent/channel/server'
import { makeGuestKey } from '@cloister/agent/keys'
import { openChannel } from './channel.ts'

const key = makeGuestKey()
const digest = createHash('sha256').update(key.spki).digest('hex')

type Guest = (stream: Duplex) => void

/** Bytes to a guest, as hostd gives them. */
async function withCarrier(guest: Guest, use: (carrier: Socket) => Promise<void>): Promise<void> {
  const server = createServer(guest).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const carrier = connect((server.address() as AddressInfo).port, '127.0.0.1')
  try {
    await use(carrier)
    assert.ok(carrier.destroyed)
  } finally {
    carrier.destroy()
    server.close()
  }
}

const serving = (ports: readonly number[]): Guest =>
  channelServer({ key, certificate: () => channelCertificate(key, 1_700_000_000), ports })

test('openChannel() leads to a port of the guest whose key was verified, and to no other guest', async () => {
  const service = createServer((socket) => socket.end('hello')).listen(0, '127.0.0.1')
  await once(service, 'listening')
  const { port } = service.address() as AddressInfo
  await withCarrier(serving([port]), async (carrier) => {
    const socket = await openChannel(async () => carrier, digest, port)
    let text = ''
    for await (const chunk of socket) text += String(chunk)
    assert.equal(text, 'hello')
    await setImmediate()
  })
  service.close()
  await withCarrier(serving([port]), async (carrier) => {
    const other = openChannel(async () => carrier, '00'.repeat(32), port)
    await assert.rejects(other, { code: 'channel.key-mismatch' })
    await setImmediate()
  })
})

test('openChannel() to a guest or host that does not answer ends in time, and leaves no stream', async () => {
  const short = { openingMs: 50 }
  const failed = { code: 'channel.failed' }
  // As a hostd that takes the call and is silent.
  const silent = async (signal: AbortSignal) => {
    await once(signal, 'abort')
    throw signal.reason
  }
  await assert.rejects(openChannel(silent, digest, 1, short), failed)
  // As an agent that is gone behind an open port.
  await withCarrier(ignore, async (carrier) => {
    await assert.rejects(
      openChannel(async () => carrier, digest, 1, short),
      failed,
    )
  })
  const hangUp = (stream: Duplex) => stream.end()
  await withCarrier(hangUp, async (carrier) => {
    await assert.rejects(
      openChannel(async () => carrier, digest, 1),
      failed,
    )
  })
})

test('openChannel() ends with its caller', async () => {
  await withCarrier(ignore, async (carrier) => {
    const signal = AbortSignal.timeout(50)
    await assert.rejects(
      openChannel(async () => carrier, digest, 1, { signal }),
      {
        code: 'channel.failed',
      },
    )
  })
})

/** A guest that says nothing. */
function ignore(stream: Duplex): void {
  stream.on('error', () => undefined).resume()
}
