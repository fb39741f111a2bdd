import { cpSync } from 'node:fs'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CloisterError } from '@cloister/protocol/error'
import type { WorkloadRecord } from '../src/record.ts'
import { FakeMachine } from './fake-machine.ts'
import { startFixture, startRequest, type Fixture } from './fixture.ts'

async function changeRecord(
  hostd: Fixture,
  change: (record: WorkloadRecord) => void,
): Promise<void> {
  const [workload] = hostd.daemon.workloads.list()
  const path = join(hostd.home, 'hostd', 'workloads', workload?.view.id ?? '', 'workload.json')
  const record = JSON.parse(await readFile(path, 'utf8')) as WorkloadRecord
  change(record)
  await writeFile(path, JSON.stringify(record))
}

/** In one turn of the event loop, so that nothing changes meanwhile. */
function copyNow(from: string, to: string): void {
  cpSync(from, to, { recursive: true })
}

test('a running workload goes on over a restart of hostd', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await hostd.client.start(startRequest())
  const before = await hostd.until('web', ({ state }) => state === 'running')
  machine.only.output.stdout = 'one\n'
  await hostd.restart()
  const after = await hostd.until('web', ({ state }) => state === 'running')
  assert.equal(after.id, before.id)
  assert.equal(after.startedAt, before.startedAt)
  assert.deepEqual(after.stages, before.stages)
  machine.only.output.stdout += 'two\n'
  assert.equal((await hostd.client.status('web')).attestations, 1)
  const stream = await hostd.client.connect('web')
  stream.end('ping')
  for await (const chunk of stream) assert.equal(String(chunk), 'ping')
  machine.only.exit(5)
  const ended = await hostd.until('web', ({ state }) => state === 'exited')
  assert.equal(ended.exitCode, 5)
  assert.equal(machine.only.count('StartContainer'), 1)
  let text = ''
  for await (const entry of hostd.client.logs('web')) text += entry.text
  assert.ok(text.endsWith('two\n'))
})

test('a start goes on over a restart at each of its requests', async () => {
  for (const request of ['CreateSandbox', 'CreateContainer', 'StartContainer']) {
    let isHeld = true
    await using machine = new FakeMachine({
      behaviour: { [request]: () => (isHeld ? new Promise(() => {}) : undefined) },
    })
    await using hostd = await startFixture(machine)
    await hostd.client.start(startRequest())
    while (machine.guests.size === 0 || machine.only.count(request) === 0)
      await new Promise((resolve) => setTimeout(resolve, 5))
    isHeld = false
    await hostd.restart()
    await hostd.until('web', ({ state }) => state === 'running')
    assert.equal(machine.guests.size, 1)
    assert.equal(machine.only.count(request), 2)
  }
})

test('a request that the guest took and whose answer was lost is not a failure', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await hostd.client.start(startRequest())
  await hostd.until('web', ({ state }) => state === 'running')
  await hostd.halt()
  // What a hostd leaves that is killed before it writes down the guest's answers.
  await changeRecord(hostd, (record) => {
    record.step = 'launched'
    record.view = { ...record.view, state: 'starting' }
  })
  await hostd.restart()
  await hostd.until('web', ({ state }) => state === 'running')
  assert.equal(machine.only.count('CreateContainer'), 2)
})

test('a guest that ended while no hostd ran is reported so', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await hostd.client.start(startRequest())
  await hostd.until('web', ({ state }) => state === 'running')
  await hostd.halt()
  await machine.only.end('killed')
  await hostd.restart()
  const { error } = await hostd.until('web', ({ state }) => state === 'failed')
  assert.equal(error?.code, 'guest.died')
})

test('a VM that cannot be taken over is ended and reported; one hiccup is not enough', async () => {
  let failures = 1
  await using machine = new FakeMachine({
    beforeAdopt: () => {
      if (failures-- > 0) throw new CloisterError('qemu.unresponsive')
    },
  })
  await using hostd = await startFixture(machine)
  await hostd.client.start(startRequest())
  await hostd.until('web', ({ state }) => state === 'running')
  await hostd.restart()
  assert.equal((await hostd.client.status('web')).attestations, 1)
  failures = Infinity
  await hostd.restart()
  const { error } = await hostd.until('web', ({ state }) => state === 'failed')
  assert.equal(error?.code, 'qemu.unresponsive')
  assert.ok(machine.only.isGone)
})

test('a VM that no record names is cleared, and its workload starts anew', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await hostd.client.start(startRequest())
  const { id } = await hostd.until('web', ({ state }) => state === 'running')
  await hostd.halt()
  // What a hostd leaves that is killed while QEMU starts.
  await changeRecord(hostd, (record) => {
    record.step = 'taken'
    delete record.vm
    record.view = { ...record.view, state: 'starting', stages: [] }
  })
  await hostd.restart()
  await hostd.until('web', ({ state }) => state === 'running')
  assert.deepEqual(machine.cleared, [id])
})

test('an exit code that was written down survives the loss of the VM', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await hostd.client.start(startRequest())
  await hostd.until('web', ({ state }) => state === 'running')
  await hostd.halt()
  await changeRecord(hostd, (record) => (record.view = { ...record.view, exitCode: 9 }))
  await hostd.restart()
  const ended = await hostd.until('web', ({ state }) => state === 'exited')
  assert.equal(ended.exitCode, 9)
  assert.ok(machine.only.isGone)
})

test('a stop that a restart interrupted is finished', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await hostd.client.start(startRequest())
  await hostd.until('web', ({ state }) => state === 'running')
  await hostd.halt()
  await changeRecord(hostd, (record) => (record.view = { ...record.view, state: 'stopping' }))
  await hostd.restart()
  await hostd.until('web', ({ state }) => state === 'exited')
  assert.ok(machine.only.isGone)
})

test('ended workloads, their errors and logs are still there after a restart', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await hostd.client.start(startRequest())
  await hostd.until('web', ({ state }) => state === 'running')
  machine.only.output.stdout = 'kept\n'
  for await (const { text } of hostd.client.logs('web', { follow: true }))
    if (text === 'kept\n') break
  await machine.only.end('guest-panic')
  const before = await hostd.until('web', ({ state }) => state === 'failed')
  await hostd.restart()
  assert.deepEqual(await hostd.client.list(), [before])
  const texts: string[] = []
  for await (const { text } of hostd.client.logs('web', { follow: true })) texts.push(text)
  assert.deepEqual(texts, ['kept\n'])
})

test('hostd goes on from a copy of its home made at any moment, as kill -9 leaves it', async () => {
  for (const delayMs of [0, 3, 8, 15, 30, 60]) {
    await using machine = new FakeMachine()
    await using hostd = await startFixture(machine)
    await hostd.client.start(startRequest())
    await new Promise((resolve) => setTimeout(resolve, delayMs))
    const snapshot = await mkdtemp(join(tmpdir(), 'cl-snapshot-'))
    copyNow(join(hostd.home, 'hostd', 'workloads'), snapshot)
    await hostd.halt()
    const place = join(hostd.home, 'hostd', 'workloads')
    await rm(place, { recursive: true })
    await cp(snapshot, place, { recursive: true })
    await rm(snapshot, { recursive: true })
    await hostd.restart()
    await hostd.until('web', ({ state }) => state === 'running')
    assert.deepEqual(
      hostd.said.filter((line) => line.includes('cannot be read')),
      [],
    )
  }
})
