import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test, type TestContext } from 'node:test'
import { hostdSocket } from '@cloister/hostd/client'
import { directories as directoriesOf, type Directories } from '@cloister/protocol/directories'
import { HOSTD_API_VERSION } from '@cloister/protocol/hostd-api'
import { PRODUCT_VERSION } from '@cloister/protocol/product-version'
import { leadGuests } from './lead-guests.ts'

const signal = AbortSignal.timeout(30_000)
const MOVE = { from: { url: 'https://127.0.0.1:8465' }, to: { url: 'https://[::1]:41234' } }

function newHome(t: TestContext): Directories {
  const home = mkdtempSync(join(tmpdir(), 'cl-home-'))
  t.after(() => rmSync(home, { recursive: true }))
  return directoriesOf({ CLOISTER_HOME: home, CLOISTER_RUNTIME_DIR: join(home, 'run') })
}

test('leadGuests() starts no hostd for a home without guests', async (t) => {
  const home = newHome(t)
  assert.deepEqual(await leadGuests(home, MOVE, signal), [])
  for (const kind of ['workloads', 'machines'])
    mkdirSync(join(home.hostd, kind), { recursive: true })
  assert.deepEqual(await leadGuests(home, MOVE, signal), [])
  assert.equal(existsSync(home.runtime), false)
})

test('leadGuests() tells hostd where the broker was and is', async (t) => {
  const home = newHome(t)
  mkdirSync(join(home.hostd, 'machines', '0123456789ab'), { recursive: true })
  mkdirSync(home.runtime)
  const asked: [string, unknown][] = []
  const answer = async (request: IncomingMessage): Promise<object> => {
    const body = await text(request)
    if (body !== '') asked.push([`${request.method} ${request.url}`, JSON.parse(body)])
    if (request.url !== '/v1/info') return { followed: ['box'] }
    return {
      version: PRODUCT_VERSION,
      apiVersion: HOSTD_API_VERSION,
      pid: process.pid,
      startedAt: new Date().toISOString(),
      home: home.home,
      workloads: { live: 0, ended: 0 },
      vms: { live: 1, atRest: 0 },
    }
  }
  const hostd = createServer((request, response) => {
    void answer(request).then((body) => response.end(JSON.stringify(body)))
  })
  hostd.listen(hostdSocket(home))
  await once(hostd, 'listening')
  t.after(() => hostd.close())
  assert.deepEqual(await leadGuests(home, MOVE, signal), ['box'])
  assert.deepEqual(asked, [
    ['POST /v1/targets/move', { name: 'broker', from: '127.0.0.1:8465', to: '[::1]:41234' }],
  ])
})
