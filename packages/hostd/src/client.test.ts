/** The client against a hostile hostd. */
import { createServer, type RequestListener } from 'node:http'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { directories } from '@cloister/protocol/directories'
import { HOSTD_API_VERSION } from '@cloister/protocol/hostd-api'
import { isCode } from '@cloister/protocol/testing'
import { HostdClient, hostdSocket } from './client.ts'
import { ensureHostd } from './ensure.ts'

async function serving(
  listener: RequestListener,
  use: (client: HostdClient, home: string) => Promise<void>,
): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), 'cl-'))
  const places = directories({ CLOISTER_HOME: home, CLOISTER_RUNTIME_DIR: home })
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(hostdSocket(places), resolve))
  try {
    await use(new HostdClient(hostdSocket(places)), home)
  } finally {
    server.close()
    server.closeAllConnections()
    rmSync(home, { recursive: true })
  }
}

const INFO = {
  version: '0.0.0-other',
  apiVersion: HOSTD_API_VERSION,
  pid: 1,
  startedAt: '2026-01-01T00:00:00.000Z',
  home: '/',
  workloads: { live: 0, ended: 0 },
  vms: { live: 0, atRest: 0 },
}

test('HostdClient refuses answers of another shape, and those beyond the bound', async () => {
  const bodies = [
    '',
    'no JSON',
    '[]',
    '{"version":1}',
    JSON.stringify({ ...INFO, trust: 'verified' }),
  ]
  for (const body of bodies)
    await serving(
      (_request, response) => response.end(body),
      (client) => assert.rejects(client.info(), isCode('hostd.answer-malformed')),
    )
  await serving(
    (_request, response) => response.end(Buffer.alloc(9 << 20, ' ')),
    (client) => assert.rejects(client.info(), isCode('hostd.answer-malformed')),
  )
})

test('HostdClient refuses a line of logs beyond the bound', async () => {
  await serving(
    (_request, response) => response.end(Buffer.alloc(2 << 20, 'x')),
    (client) =>
      assert.rejects(async () => {
        for await (const entry of client.logs('web')) void entry
      }, isCode('hostd.answer-malformed')),
  )
})

test('HostdClient throws the error that hostd names, and no other class of error', async () => {
  const answers = [
    ['{"code":"workload.not-found"}', 'workload.not-found'],
    ['{"code":"no.such-code"}', 'internal.bug'],
    ['<html>', 'hostd.answer-malformed'],
  ] as const
  for (const [body, code] of answers)
    await serving(
      (_request, response) => response.writeHead(500).end(body),
      async (client) => {
        await assert.rejects(client.get('web'), isCode(code))
        await assert.rejects(client.connect('web'), isCode(code))
      },
    )
})

test('HostdClient says hostd.unreachable where nobody serves', async () => {
  const client = new HostdClient('/nonexistent/hostd.sock')
  await assert.rejects(client.info(), isCode('hostd.unreachable'))
  await assert.rejects(client.connect('web'), isCode('hostd.unreachable'))
})

test('HostdClient throws the signal’s reason when the caller gives up', async () => {
  await serving(
    (request, response) => {
      if (request.url?.includes('logs') === true) response.writeHead(200).flushHeaders()
    },
    async (client) => {
      const reason = new Error('enough')
      const gaveUp = () => {
        const stop = new AbortController()
        setTimeout(() => stop.abort(reason), 30)
        return stop.signal
      }
      await assert.rejects(client.info({ signal: gaveUp() }), reason)
      await assert.rejects(client.connect('web', { signal: gaveUp() }), reason)
      await assert.rejects(async () => {
        for await (const entry of client.logs('web', { signal: gaveUp() })) void entry
      }, reason)
    },
  )
})

test('ensureHostd() refuses a hostd of another version', async () => {
  await serving(
    (_request, response) => response.end(JSON.stringify(INFO)),
    (_client, home) => {
      const places = directories({ CLOISTER_HOME: home, CLOISTER_RUNTIME_DIR: home })
      return assert.rejects(ensureHostd(places), isCode('hostd.version-mismatch'))
    },
  )
})

test('ensureHostd() starts one hostd however many ask at once', async () => {
  const home = mkdtempSync(join(tmpdir(), 'cl-'))
  const places = directories({ CLOISTER_HOME: home, CLOISTER_RUNTIME_DIR: join(home, 'r') })
  const clients = await Promise.all([1, 2, 3].map(() => ensureHostd(places)))
  const pids = await Promise.all(clients.map(async (client) => (await client.info()).pid))
  assert.equal(new Set(pids).size, 1)
  await clients[0]?.shutdown()
  rmSync(home, { recursive: true, force: true })
})
