/** A VM over a process that is no QEMU and a peer that answers QMP as each test has it: what QEMU does only when things go wrong. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { identifyProcess, isAlive } from './process-identity.ts'
import { QmpClient } from './qmp.ts'
import { RunningVm } from './running-vm.ts'
import type { VmState } from './vm-spec.ts'

interface Peer {
  readonly vm: RunningVm
  readonly state: VmState
  /** The QMP connection that the VM holds. */
  readonly socket: Socket
  /** The stage port's connection. */
  readonly stage: Socket
  /** Kills the process and closes what QEMU would close. */
  readonly die: () => void
}

type Answer = (command: string, socket: Socket) => object | undefined

async function listen(path: string): Promise<Server> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return server
}

async function peer(t: TestContext, answer: Answer): Promise<Peer> {
  const folder = await mkdtemp(join(tmpdir(), 'peer-'))
  const [runtimeDirectory, stateDirectory] = [join(folder, 'run'), join(folder, 'state')]
  await Promise.all([mkdir(runtimeDirectory), mkdir(stateDirectory)])
  const child = spawn('sleep', ['60'])
  await once(child, 'spawn')
  const identity = await identifyProcess(child.pid ?? 0)
  assert.ok(identity)
  const sockets: Socket[] = []
  const qmpServer = await listen(join(runtimeDirectory, 'qmp.sock'))
  qmpServer.on('connection', (socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    if (answer('greeting', socket) === undefined) return
    socket.write('{"QMP":{}}\n')
    socket.on('data', (chunk) => {
      for (const line of String(chunk).trim().split('\n')) {
        const { execute, id } = JSON.parse(line) as { execute: string; id: number }
        const given = execute === 'qmp_capabilities' ? {} : answer(execute, socket)
        if (given !== undefined) socket.write(`${JSON.stringify({ return: given, id })}\n`)
      }
    })
  })
  const stageServer = await listen(join(runtimeDirectory, 'stage.sock'))
  const staged = once(stageServer, 'connection') as Promise<[Socket]>
  const state: VmState = {
    version: 1,
    id: 'x',
    process: identity,
    bootId: '',
    tee: 'simulated',
    mode: 'simulated',
    accelerator: 'tcg',
    runtimeDirectory,
    stateDirectory,
    startedAt: '',
  }
  const qmp = await QmpClient.connect(join(runtimeDirectory, 'qmp.sock'))
  const vm = new RunningVm({ state, qmp })
  const [stage] = await staged
  const [socket] = sockets
  assert.ok(socket)
  const die = () => {
    child.kill('SIGKILL')
    for (const open of [...sockets, stage]) open.end()
  }
  child.once('exit', die)
  t.after(async () => {
    die()
    qmpServer.close()
    stageServer.close()
    await rm(folder, { recursive: true, force: true })
  })
  return { vm, state, socket, stage, die }
}

test('a guest that stands still for good is killed and reported with the status', async (t) => {
  const { vm, state, socket } = await peer(t, (command) =>
    command === 'query-status' ? { status: 'internal-error' } : {},
  )
  socket.write('{"event":"STOP","timestamp":{}}\n')
  const exit = await vm.exited
  assert.equal(exit.reason, 'qemu-failed')
  assert.match(exit.qemuSaid ?? '', /internal-error/)
  assert.equal(await isAlive(state.process), false)
})

test('a guest whose kernel tells of its panic is reported so', async (t) => {
  const { vm, socket } = await peer(t, (command) =>
    command === 'query-status' ? { status: 'guest-panicked' } : {},
  )
  // As QEMU 7.2 tells it with `-action panic=exit-failure`.
  socket.write('{"event":"GUEST_PANICKED","data":{"action":"poweroff"}}\n{"event":"STOP"}\n')
  assert.equal((await vm.exited).reason, 'guest-panic')
})

test('a guest that stands still on its way down is left alone', async (t) => {
  const { vm, socket, die } = await peer(t, (command) =>
    command === 'query-status' ? { status: 'shutdown' } : {},
  )
  socket.write('{"event":"SHUTDOWN","data":{"guest":true,"reason":"guest-shutdown"}}\n')
  socket.write('{"event":"STOP"}\n')
  setTimeout(die, 30)
  assert.equal((await vm.exited).reason, 'guest-shutdown')
})

test('what came last over the sockets counts, although the process is gone', async (t) => {
  const { vm, socket, stage, die } = await peer(t, () => ({}))
  stage.write('10 initrd 1\n! initdata.mismatch\n')
  socket.write('{"event":"SHUTDOWN","data":{"guest":true,"reason":"guest-shutdown"}}\n')
  die()
  const { reason, lastStage, guestCode } = await vm.exited
  assert.deepEqual(
    [reason, lastStage, guestCode],
    ['guest-shutdown', 'initrd', 'initdata.mismatch'],
  )
})

test('a peer that stops talking QMP does not end the VM; stop() connects anew', async (t) => {
  let hasQuit = false
  const { vm, state, socket, die } = await peer(t, (command) => {
    if (command === 'quit') {
      hasQuit = true
      setTimeout(() => die(), 5)
    }
    return {}
  })
  socket.write('nonsense\n')
  await once(socket, 'close')
  assert.equal(await isAlive(state.process), true)
  assert.equal((await vm.stop({ timeoutMs: 5 })).reason, 'stopped')
  assert.equal(hasQuit, true)
})

test('stop() kills what neither greets nor obeys', async (t) => {
  let greetings = 0
  const { vm, state, socket } = await peer(t, (command) => {
    if (command !== 'greeting') return {}
    return greetings++ === 0 ? {} : undefined
  })
  socket.destroy()
  const exit = await vm.stop({ timeoutMs: 5 })
  assert.equal(exit.reason, 'stop-killed')
  assert.equal(await isAlive(state.process), false)
  await assert.rejects(access(state.runtimeDirectory))
})

/** A peer whose guest finds no space: before it is told to shut down, or by then. */
async function frozenPeer(t: TestContext, when: 'before' | 'on its way down') {
  const commands: string[] = []
  const found = await peer(t, (command, socket) => {
    if (command !== 'greeting') commands.push(command)
    if (command === 'query-status') return { status: 'io-error' }
    if (command === 'system_powerdown') socket.write('{"event":"STOP"}\n')
    if (command === 'quit') setTimeout(() => found.die(), 5)
    return {}
  })
  const frozen = new Promise<void>((resolve) => found.vm.onDiskFull(resolve))
  if (when === 'before') {
    found.socket.write('{"event":"STOP"}\n')
    await frozen
  }
  return { ...found, commands }
}

for (const when of ['before', 'on its way down'] as const)
  test(`stop() does not wait for a guest that stands still ${when}`, async (t) => {
    const { vm, commands } = await frozenPeer(t, when)
    const exit = await vm.stop({ timeoutMs: 3_600_000 })
    assert.deepEqual([exit.reason, exit.stoodStill], ['stopped', true])
    const asked = commands.filter((command) => command !== 'query-status')
    assert.deepEqual(asked, when === 'before' ? ['quit'] : ['system_powerdown', 'quit'])
  })

test('after release() the process lives on and nothing is removed', async (t) => {
  const { vm, state } = await peer(t, () => ({}))
  await vm.release()
  await vm[Symbol.asyncDispose]()
  assert.equal(await isAlive(state.process), true)
  await access(state.runtimeDirectory)
})
