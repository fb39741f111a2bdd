/** Machines over ends of hostd, of QEMU and of the host, in each state. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CloisterError } from '@cloister/protocol/error'
import type { MachineRecord } from '../src/machines/machine-record.ts'
import { FakeMachine } from './fake-machine.ts'
import { defineRequest, gathered, startFixture, startRequest, type Fixture } from './fixture.ts'

/** As a hostd leaves it that was killed at another moment. */
async function changeRecord(
  { home }: Fixture,
  change: (record: MachineRecord) => void,
): Promise<void> {
  const root = join(home, 'hostd', 'machines')
  const [id = ''] = await readdir(root)
  const path = join(root, id, 'record.json')
  const record = JSON.parse(await readFile(path, 'utf8')) as MachineRecord
  change(record)
  await writeFile(path, JSON.stringify(record))
}

async function runningBox(hostd: Fixture): Promise<void> {
  await hostd.client.vms.define(await defineRequest(hostd))
  await hostd.client.vms.start('box')
}

test('a machine that runs goes on over a restart of hostd; one at rest stays at rest', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  const { vms } = hostd.client
  await runningBox(hostd)
  await vms.define(await defineRequest(hostd, { name: 'still' }))
  const before = await vms.get('box')
  await hostd.restart()
  const after = await hostd.untilVm('box', ({ hasAgent }) => hasAgent)
  assert.deepEqual(
    [after.state, after.id, after.pid, after.boots],
    ['running', before.id, before.pid, 1],
  )
  assert.equal((await vms.get('still')).state, 'defined')
  assert.equal((await vms.status('box')).token, 'ear')
  assert.equal((await vms.stop('box')).state, 'stopped')
  assert.ok(machine.only.isGone)
  await hostd.restart()
  assert.equal((await vms.get('box')).state, 'stopped')
  const types = (await gathered(vms.events('box'))).map(({ type }) => type)
  assert.ok(types.includes('found-again'))
})

test('a machine that ended while no hostd ran has failed, and says so', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await runningBox(hostd)
  await hostd.halt()
  await machine.only.end('killed')
  await hostd.restart()
  const view = await hostd.untilVm('box', ({ state }) => state === 'failed')
  assert.equal(view.error?.code, 'vm.died')
  assert.match(view.error?.why ?? '', /no hostd ran/)
  machine.guests.clear()
  assert.equal((await hostd.client.vms.start('box')).state, 'running')
})

test('a restart of the host is told apart', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await runningBox(hostd)
  await hostd.halt()
  await machine.only.end('killed')
  machine.bootId = 'another'
  await hostd.restart()
  const view = await hostd.untilVm('box', ({ state }) => state === 'failed')
  assert.match(view.error?.why ?? '', /host was restarted/)
})

test('a start that a kill of hostd interrupted is made anew, with one QEMU', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await runningBox(hostd)
  const { id } = await hostd.client.vms.get('box')
  await hostd.halt()
  await changeRecord(hostd, (record) => {
    delete record.vm
    const { pid: _pid, ...view } = record.view
    record.view = { ...view, state: 'starting' }
  })
  await hostd.restart()
  await hostd.untilVm('box', ({ state }) => state === 'running')
  assert.deepEqual(machine.cleared, [id])
  assert.equal([...machine.guests.values()].filter(({ isGone }) => !isGone).length, 1)
})

test('a stop that a kill of hostd interrupted is finished', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await runningBox(hostd)
  await hostd.halt()
  await changeRecord(hostd, (record) => {
    record.view = { ...record.view, state: 'stopping' }
    record.stopUntil = new Date(Date.now() + 50).toISOString()
  })
  await hostd.restart()
  const view = await hostd.untilVm('box', ({ state }) => state === 'stopped')
  assert.equal(view.error, undefined)
  assert.ok(machine.only.isGone)
})

test('a stop whose QEMU is gone when the next hostd looks has stopped', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await runningBox(hostd)
  await hostd.halt()
  await machine.only.end('killed')
  await changeRecord(hostd, (record) => {
    record.view = { ...record.view, state: 'stopping' }
    record.stopUntil = new Date(0).toISOString()
  })
  await hostd.restart()
  assert.equal((await hostd.untilVm('box', ({ state }) => state === 'stopped')).pid, undefined)
})

test('a QEMU that does not answer is ended and the machine has failed; one hiccup is not enough', async () => {
  let failures = 1
  await using machine = new FakeMachine({
    beforeAdopt: () => {
      if (failures-- > 0) throw new CloisterError('qemu.unresponsive')
    },
  })
  await using hostd = await startFixture(machine)
  await runningBox(hostd)
  await hostd.restart()
  await hostd.untilVm('box', ({ hasAgent }) => hasAgent)
  failures = Infinity
  await hostd.restart()
  const { error } = await hostd.untilVm('box', ({ state }) => state === 'failed')
  assert.equal(error?.code, 'qemu.unresponsive')
  assert.ok(machine.only.isGone)
})

test('half-made and half-removed machines are cleared; unreadable ones are left alone and their QEMU, too', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await runningBox(hostd)
  await hostd.client.start(startRequest())
  const { id } = await hostd.client.vms.get('box')
  const root = join(hostd.home, 'hostd', 'machines')
  await hostd.halt()
  const { mkdir } = await import('node:fs/promises')
  await mkdir(join(root, 'aaaaaaaaaaaa', 'tpm'), { recursive: true })
  await mkdir(join(root, 'bbbbbbbbbbbb.removed'))
  await writeFile(join(root, id, 'record.json'), '{"version":2}')
  await hostd.restart()
  assert.deepEqual(await readdir(root), [id])
  assert.deepEqual(await hostd.client.vms.list(), [])
  assert.ok(hostd.said.some((line) => line.includes(id)))
  assert.equal(machine.guests.get(id)?.isGone, false)
  await machine.guests.get(id)?.end('killed')
})

test('a vTPM that was lost while no hostd ran is told', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await runningBox(hostd)
  await hostd.halt()
  machine.only.loseVtpm()
  await hostd.restart()
  const view = await hostd.untilVm('box', ({ vtpmLostAt }) => vtpmLostAt !== undefined)
  assert.equal(view.state, 'running')
})

test('many machines go on over a restart, each as it was', async () => {
  await using machine = new FakeMachine({ hasAgent: false })
  await using hostd = await startFixture(machine)
  const { vms } = hostd.client
  const names = Array.from({ length: 12 }, (_, index) => `box-${index}`)
  for (const name of names) await vms.define(await defineRequest(hostd, { name }))
  for (const name of names.slice(0, 6)) await vms.start(name)
  await hostd.restart()
  for (const name of names.slice(0, 6))
    await hostd.untilVm(name, ({ state }) => state === 'running')
  const views = await vms.list()
  assert.deepEqual(
    views.map(({ state }) => state),
    names.map((_, index) => (index < 6 ? 'running' : 'defined')),
  )
})
