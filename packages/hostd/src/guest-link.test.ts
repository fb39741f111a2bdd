import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import { GetStatusResponseSchema, Guest } from '@cloister/protocol/guest_pb'
import { servePortSessions } from '@cloister/protocol/port-session'
import { TTRPC_FRAMING } from '@cloister/protocol/ttrpc/frame'
import { serveTtrpc } from '@cloister/protocol/ttrpc/server'
import { GuestLink } from './guest-link.ts'

/** An agent on a port: it answers a status with its name. */
function serveAgent(port: Socket, name: string): void {
  servePortSessions(port, TTRPC_FRAMING, (channel) =>
    serveTtrpc(channel, {
      services: [Guest],
      handler: async () => create(GetStatusResponseSchema, { stage: name }),
    }),
  )
}

test('after reset() a call reaches the agent that took the place of another on the same port', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'cl-link-'))
  t.after(() => rm(folder, { recursive: true }))
  const path = join(folder, 'agent.sock')
  let agent = 'first'
  const ports: Socket[] = []
  const server = createServer((port) => {
    port.on('error', () => undefined)
    ports.push(port)
    serveAgent(port, agent)
  })
  server.listen(path)
  await once(server, 'listening')
  t.after(() => server.close())
  const link = new GuestLink(path)
  t.after(() => link.close())
  const stage = async (timeoutMs: number) =>
    (await link.call(Guest.method.getStatus, {}, { timeoutMs })).stage
  assert.equal(await stage(5_000), 'first')
  link.reset()
  assert.equal(await stage(5_000), 'first')
  // The process in the guest is another; the port, and the session at the host, stay.
  agent = 'second'
  const port = ports.at(-1)!
  port.removeAllListeners('data')
  serveAgent(port, agent)
  await assert.rejects(stage(300))
  link.reset()
  assert.equal(await stage(5_000), 'second')
})
