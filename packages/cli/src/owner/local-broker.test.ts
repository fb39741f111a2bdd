import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { directories as directoriesOf, type Directories } from '@cloister/protocol/directories'
import { freePort } from '../free-port.ts'
import { ensureBroker, stopBroker, type ListenAddress } from './local-broker.ts'
import { pinBroker, readPinnedBroker } from './pinned-broker.ts'

const signal = AbortSignal.timeout(60_000)
const LOOPBACK = '127.0.0.1'

/** A home of its own; its broker is stopped and all of it removed at the end. */
function newHome(t: TestContext): Directories {
  const home = mkdtempSync(join(tmpdir(), 'cl-home-'))
  const runtime = join(home, 'run')
  const directories = directoriesOf({ CLOISTER_HOME: home, CLOISTER_RUNTIME_DIR: runtime })
  t.after(async () => {
    await stopBroker(directories, signal)
    rmSync(home, { recursive: true })
  })
  return directories
}

/** Another program at a port. */
async function occupy(
  t: TestContext,
  port = 0,
  greet = (socket: Socket): unknown => socket.end('no\n'),
): Promise<ListenAddress & { server: Server }> {
  const server = createServer((socket) => greet(socket.on('error', () => undefined)))
  server.listen(port, LOOPBACK)
  await once(server, 'listening')
  t.after(() => server.close())
  return { host: LOOPBACK, port: (server.address() as AddressInfo).port, server }
}

async function start(directories: Directories, listen?: ListenAddress): Promise<string> {
  return (await ensureBroker(directories, signal, { listen })).pinned.url
}

test('ensureBroker() of two homes on one machine gives each its own broker, and each keeps its address', async (t) => {
  const [first, second] = [newHome(t), newHome(t)]
  const urls = [await start(first), await start(second)]
  assert.notEqual(urls[0], urls[1])
  for (const home of [first, second]) await stopBroker(home, signal)
  assert.deepEqual([await start(first), await start(second)], urls)
})

test('ensureBroker() looks for another port when another home has taken the one that it chose before', async (t) => {
  const [first, second] = [newHome(t), newHome(t)]
  const url = await start(first)
  await stopBroker(first, signal)
  assert.equal(await start(second, { host: LOOPBACK, port: Number(new URL(url).port) }), url)
  const said: string[] = []
  const broker = await ensureBroker(first, signal, { talk: (line) => said.push(line) })
  assert.notEqual(broker.pinned.url, url)
  assert.equal((await broker.status()).url, broker.pinned.url)
  assert.equal(said.length, 1)
})

test('ensureBroker() refuses a port that was asked for and is taken, at once and later', async (t) => {
  const home = newHome(t)
  const taken = await occupy(t)
  await assert.rejects(start(home, taken), { code: 'broker.listen', exit: 5 })
  assert.equal(readPinnedBroker(home), undefined)

  const listen = { host: LOOPBACK, port: await freePort(0) }
  const url = await start(home, listen)
  await stopBroker(home, signal)
  await occupy(t, listen.port)
  await assert.rejects(start(home), { code: 'broker.listen' })
  assert.equal(readPinnedBroker(home)?.url, url)
})

test('ensureBroker() does not replace a broker with another key at an address that the owner asked for', async (t) => {
  const [home, other] = [newHome(t), newHome(t)]
  const url = await start(other)
  const tokenSigner = readPinnedBroker(other)?.tokenSigner ?? ''
  pinBroker(home, { url, spki: ['0'.repeat(64)], tokenSigner, isAddressAsked: true })
  await assert.rejects(start(home), { code: 'owner.broker-pin-mismatch' })
})

test('ensureBroker() says of a broker of this home that hangs that it does, and stopBroker() ends it', async (t) => {
  const home = newHome(t)
  const url = await start(home)
  const pid = Number(readFileSync(join(home.broker, 'pid'), 'utf8'))
  process.kill(pid, 'SIGSTOP')
  await assert.rejects(ensureBroker(home, signal, { silenceMs: 300 }), {
    code: 'owner.broker-silent',
    exit: 4,
  })
  assert.equal(await stopBroker(home, signal, 100), true)
  assert.equal(await start(home), url, 'its storage stood it')
})

test('ensureBroker() leaves a port that it chose to a program that says nothing there', async (t) => {
  const home = newHome(t)
  const url = await start(home)
  await stopBroker(home, signal)
  const mute = await occupy(t, Number(new URL(url).port), () => undefined)
  const { pinned } = await ensureBroker(home, signal, { silenceMs: 300 })
  assert.notEqual(pinned.url, url)
  assert.equal(mute.port, Number(new URL(url).port))
})
