import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { QmpClient } from './qmp.ts'

const GREETING =
  '{"QMP":{"version":{"qemu":{"micro":22,"minor":2,"major":7}},"capabilities":["oob"]}}\n'

/** A peer that greets and then does as it is told with each command. */
async function fakeQemu(
  t: TestContext,
  answer: (command: { execute: string; id: number }, socket: Socket) => void,
  greeting = GREETING,
): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'qmp-'))
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.write(greeting)
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      for (const line of String(chunk).trim().split('\n')) {
        const command = JSON.parse(line) as { execute: string; id: number }
        if (command.execute === 'qmp_capabilities')
          socket.write(`{"return":{},"id":${command.id}}\n`)
        else answer(command, socket)
      }
    })
  })
  const path = join(directory, 's')
  await new Promise<void>((resolve) => server.listen(path, resolve))
  t.after(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await rm(directory, { recursive: true })
  })
  return path
}

test('execute() returns what stands under return, matched by id', async (t) => {
  const held: number[] = []
  const path = await fakeQemu(t, ({ id }, socket) => {
    held.push(id)
    if (held.length < 2) return
    // In reverse order, in one chunk, with an event between.
    socket.write(
      `{"return":"${held[1]}","id":${held[1]}}\n{"event":"STOP","timestamp":{}}\n{"return":"${held[0]}","id":${held[0]}}\n`,
    )
  })
  const client = await QmpClient.connect(path)
  const events: string[] = []
  client.on('event', ({ name }) => events.push(name))
  const answers = await Promise.all([client.execute('a'), client.execute('b')])
  assert.deepEqual(answers, held.map(String))
  assert.deepEqual(events, ['STOP'])
  client.close()
})

test('execute() rejects an error answer with qemu.refused', async (t) => {
  const path = await fakeQemu(t, ({ id }, socket) =>
    socket.write(`{"error":{"class":"GenericError","desc":"no"},"id":${id}}\n`),
  )
  const client = await QmpClient.connect(path)
  await assert.rejects(client.execute('x'), { code: 'qemu.refused' })
  client.close()
})

test('execute() rejects with qemu.unresponsive when no answer comes, and takes a late one calmly', async (t) => {
  let late: (() => void) | undefined
  const path = await fakeQemu(t, ({ execute, id }, socket) => {
    const write = () => socket.write(`{"return":{},"id":${id}}\n`)
    if (execute === 'slow') late = write
    else write()
  })
  const client = await QmpClient.connect(path)
  await assert.rejects(client.execute('slow', {}, 20), { code: 'qemu.unresponsive' })
  late?.()
  assert.deepEqual(await client.execute('quick'), {})
  client.close()
})

test('execute() rejects when the connection ends, and afterwards', async (t) => {
  const path = await fakeQemu(t, (_, socket) => socket.destroy())
  const client = await QmpClient.connect(path)
  await assert.rejects(client.execute('x'), { code: 'qemu.unresponsive' })
  await assert.rejects(client.execute('x'), { code: 'qemu.unresponsive' })
  assert.equal(client.isOpen, false)
})

const LIES: Readonly<Record<string, string>> = {
  'no JSON': 'hello\n',
  'no object': '[1]\n',
  'an id that was never given': '{"return":{},"id":99}\n',
  'no id': '{"return":{}}\n',
  'neither return nor error': '{"id":2}\n',
  'an endless line': 'x'.repeat((1 << 20) + 1),
}
for (const [name, line] of Object.entries(LIES))
  test(`a peer that sends ${name} ends the connection with qemu.protocol`, async (t) => {
    const path = await fakeQemu(t, (_, socket) => socket.write(line))
    const client = await QmpClient.connect(path)
    const closed = new Promise((resolve) => client.once('close', resolve))
    await assert.rejects(client.execute('x'), { code: 'qemu.protocol' })
    assert.equal(((await closed) as { code?: string }).code, 'qemu.protocol')
  })

test('connect() rejects a peer that does not greet', async (t) => {
  const silent = await fakeQemu(t, () => {}, '')
  await assert.rejects(QmpClient.connect(silent, 30), { code: 'qemu.unresponsive' })
  const liar = await fakeQemu(t, () => {}, '{"return":{}}\n')
  await assert.rejects(QmpClient.connect(liar), { code: 'qemu.protocol' })
})

test('connect() rejects when nothing listens', async () => {
  await assert.rejects(QmpClient.connect('/nonexistent/qmp.sock'), { code: 'qemu.unresponsive' })
})
