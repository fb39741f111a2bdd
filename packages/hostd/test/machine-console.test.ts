import type { Duplex } from 'node:stream'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isCode } from '@cloister/protocol/testing'
import { FakeMachine } from './fake-machine.ts'
import { defineRequest, startFixture, type Fixture } from './fixture.ts'

async function startBox(machine: FakeMachine, hostd: Fixture): Promise<void> {
  await hostd.client.vms.define(await defineRequest(hostd))
  await hostd.client.vms.start('box')
  while (!machine.only.hasConsole) await sleep(5)
}

async function untilSeen(stream: Duplex, wanted: string): Promise<string> {
  let seen = ''
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    seen += String(chunk)
    if (seen.includes(wanted)) return seen
  }
  throw new Error(`the console ended after ${JSON.stringify(seen)}`)
}

async function logText({ client }: Fixture): Promise<string> {
  let text = ''
  for await (const entry of client.vms.consoleLog('box')) text += entry.text
  return text
}

test('what the guest writes is kept over its end and over restarts of hostd', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await startBox(machine, hostd)
  machine.only.print('one\n')
  while ((await logText(hostd)) !== 'one\n') await sleep(5)
  await hostd.restart()
  while (!machine.only.hasConsole) await sleep(5)
  // A character that comes in two pieces.
  machine.only.print(Buffer.from([0xc3]))
  await sleep(80)
  machine.only.print(Buffer.concat([Buffer.from([0xa9]), Buffer.from(' two\n')]))
  while (!(await logText(hostd)).endsWith('é two\n')) await sleep(5)
  machine.only.print('last words\n')
  await hostd.client.vms.stop('box')
  assert.equal(await logText(hostd), 'one\né two\nlast words\n')
})

test('a follower gets what comes, and is let go when the machine ends', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await startBox(machine, hostd)
  machine.only.print('before\n')
  const following = (async () => {
    let text = ''
    for await (const entry of hostd.client.vms.consoleLog('box', { follow: true }))
      text += entry.text
    return text
  })()
  await sleep(100)
  machine.only.print('after\n')
  await sleep(100)
  await hostd.client.vms.stop('box')
  assert.equal(await following, 'before\nafter\n')
})

test('one writes and any number look on', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await startBox(machine, hostd)
  const { vms } = hostd.client
  machine.only.print('login: ')
  while (!(await logText(hostd)).includes('login')) await sleep(5)
  const writer = await vms.console('box')
  const viewer = await vms.console('box', { view: true })
  await untilSeen(writer, 'login: ')
  await untilSeen(viewer, 'login: ')
  await assert.rejects(vms.console('box'), isCode('vm.console-taken'))
  viewer.write('rm -rf /\n')
  writer.write('root\n')
  const typed = () => machine.only.typed
  while (typed() !== 'root\n') await sleep(5)
  machine.only.print('Password: ')
  await Promise.all([untilSeen(writer, 'Password'), untilSeen(viewer, 'Password')])
  writer.destroy()
  const next = await retried(() => vms.console('box'))
  next.write('again')
  while (typed() !== 'root\nagain') await sleep(5)
  const ended = new Promise((resolve) => next.once('end', resolve))
  next.resume()
  viewer.resume()
  await vms.stop('box')
  await ended
  await assert.rejects(vms.console('box'), isCode('vm.not-running'))
})

test('a guest that floods its console fills neither disk nor memory', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await startBox(machine, hostd)
  const { id } = await hostd.client.vms.get('box')
  const line = `${'\u001b]0;x\u0007'.repeat(1000)}\n`
  const stuck = await hostd.client.vms.console('box', { view: true })
  stuck.pause()
  for (let count = 0; count < 4000; count++) machine.only.print(line)
  machine.only.print('the end\n')
  const folder = join(hostd.home, 'hostd', 'machines', id, 'console')
  let tail = ''
  while (!tail.endsWith('the end\n')) {
    tail = (await logText(hostd)).slice(-8)
    await sleep(50)
  }
  const sizes = await Promise.all((await readdir(folder)).map((name) => stat(join(folder, name))))
  assert.ok(sizes.reduce((sum, { size }) => sum + size, 0) <= 16 << 20)
  stuck.destroy()
})

/** The one before may not be gone yet. */
async function retried(open: () => Promise<Duplex>): Promise<Duplex> {
  for (;;) {
    try {
      return await open()
    } catch (error) {
      if (!(error instanceof Error && error.message.includes('console'))) throw error
      await sleep(5)
    }
  }
}
