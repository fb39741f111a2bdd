import { once } from 'node:events'
import { readdir, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { join } from 'node:path'
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { directories } from '@cloister/protocol/directories'
import type { MoveTarget } from '@cloister/protocol/hostd-api'
import { STAGES, type StageName } from '@cloister/protocol/guest-names'
import { isCode } from '@cloister/protocol/testing'
import { TtrpcError, STATUS } from '@cloister/protocol/ttrpc/status'
import { startDaemon } from '../src/daemon.ts'
import { guestPlace } from '../src/guest-place.ts'
import { FakeMachine } from './fake-machine.ts'
import {
  defineRequest,
  IMAGE_DIGEST,
  initdataBytes,
  startFixture,
  startRequest,
} from './fixture.ts'
import { greeter } from './greeter.ts'

test('a workload runs, writes output and exits with its code', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  const { client } = hostd
  const detail = await client.start(startRequest())
  assert.equal(detail.state, 'starting')
  assert.deepEqual(detail.image.digest, IMAGE_DIGEST)
  assert.deepEqual(new Uint8Array(Buffer.from(detail.initdata, 'base64')), initdataBytes())
  const running = await hostd.until('web', ({ state }) => state === 'running')
  assert.equal(running.guestImage.imageVersion, 7)
  assert.equal(machine.only.count('CreateSandbox'), 1)
  machine.only.output.stdout = 'grüße\n'
  machine.only.output.stderr = 'warning\n'
  const logs: string[] = []
  const following = (async () => {
    for await (const { stream, text } of client.logs('web', { follow: true }))
      logs.push(`${stream}: ${text}`)
  })()
  setTimeout(() => machine.only.exit(3), 60)
  const ended = await hostd.until('web', ({ state }) => state === 'exited')
  await following
  assert.equal(ended.exitCode, 3)
  assert.equal(ended.pid, undefined)
  assert.deepEqual(logs.sort(), ['stderr: warning\n', 'stdout: grüße\n'])
  assert.ok(ended.stages.length >= 11)
  assert.ok(machine.only.isGone)
  await client.remove('web')
  assert.deepEqual(await client.list(), [])
  assert.deepEqual(await readdir(join(hostd.home, 'hostd', 'workloads')), [])
})

test('the guest is asked for exactly what the initdata says', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await hostd.client.start(startRequest())
  await hostd.until('web', ({ state }) => state === 'running')
  const request = machine.only.calls.find(({ name }) => name === 'CreateContainer')?.request
  const { containerId, OCI, storages } = request as unknown as {
    containerId: string
    OCI: { Process: { Args: string[]; Env: string[] } }
    storages: { source: string }[]
  }
  assert.equal(containerId, 'web')
  assert.deepEqual(OCI.Process.Args, ['serve'])
  assert.deepEqual(OCI.Process.Env, ['A=b'])
  assert.equal(storages[0]?.source, `localhost/web@${IMAGE_DIGEST}`)
  assert.equal(machine.only.spec.hostData.length, 32)
})

test('output is not asked for when the policy in the initdata keeps it in the guest', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  const initdata = Buffer.from(initdataBytes({ hostPolicy: {} })).toString('base64')
  await hostd.client.start(startRequest({ initdata }))
  await hostd.until('web', ({ state }) => state === 'running')
  machine.only.output.stdout = 'canary'
  machine.only.exit(0)
  await hostd.until('web', ({ state }) => state === 'exited')
  assert.equal(machine.only.count('ReadStdout'), 0)
})

test('stop asks the container first and reports its exit code', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await hostd.client.start(startRequest())
  await hostd.until('web', ({ state }) => state === 'running')
  const view = await hostd.client.stop('web')
  assert.equal(view.state, 'exited')
  assert.equal(view.exitCode, 143)
  assert.equal(machine.only.count('SignalProcess'), 1)
  assert.equal((await hostd.client.stop('web')).state, 'exited')
})

test('stop ends the VM of a container that ignores the signal', async () => {
  await using machine = new FakeMachine({ behaviour: { SignalProcess: () => undefined } })
  await using hostd = await startFixture(machine)
  await hostd.client.start(startRequest())
  await hostd.until('web', ({ state }) => state === 'running')
  const view = await hostd.client.stop('web', { timeoutMs: 50 })
  assert.equal(view.state, 'exited')
  assert.equal(view.exitCode, undefined)
  assert.ok(machine.only.isGone)
})

test('stop ends a guest that is still starting', async () => {
  await using machine = new FakeMachine({
    behaviour: { CreateContainer: () => new Promise(() => {}) },
  })
  await using hostd = await startFixture(machine)
  await hostd.client.start(startRequest())
  await hostd.until('web', ({ stages }) => stages.length > 3)
  assert.equal((await hostd.client.stop('web')).state, 'exited')
})

test('a name is taken until its workload is removed', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  const { client } = hostd
  const first = client.start(startRequest())
  await assert.rejects(client.start(startRequest()), isCode('workload.name-taken'))
  await first
  await assert.rejects(client.start(startRequest()), isCode('workload.name-taken'))
  await assert.rejects(client.remove('web'), isCode('workload.still-running'))
  await hostd.until('web', ({ state }) => state === 'running')
  await client.stop('web', { force: true })
  await assert.rejects(client.start(startRequest()), isCode('workload.name-taken'))
  await client.remove('web')
  await client.start(startRequest())
})

test('bad requests are refused with a code and leave nothing', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  const { client } = hostd
  const refused = (changes: object, code: Parameters<typeof isCode>[0]) =>
    assert.rejects(client.start(startRequest(changes)), isCode(code))
  await refused({ targets: {} }, 'workload.target-missing')
  await refused({ ports: [{ host: 8080, guest: 81 }] }, 'workload.port-unlisted')
  await refused({ initdata: 'AAAA' }, 'initdata.malformed')
  await refused({ name: '../etc' }, 'request.malformed')
  await refused({ unknown: 1 }, 'request.malformed')
  await refused({ memoryMiB: 1 << 20 }, 'host.memory-insufficient')
  await refused({ cpus: 64 }, 'host.cpus-insufficient')
  await assert.rejects(client.get('nobody'), isCode('workload.not-found'))
  await assert.rejects(client.connect('nobody'), isCode('workload.not-found'))
  await assert.rejects(client.status('nobody'), isCode('workload.not-found'))
  assert.deepEqual(await client.list(), [])
  assert.deepEqual(await readdir(join(hostd.home, 'hostd', 'workloads')), [])
  assert.equal(machine.guests.size, 0)
})

test('a port that another workload publishes is refused', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  const ports = [{ host: 18080, guest: 80 }]
  await hostd.client.start(startRequest({ ports }))
  await assert.rejects(
    hostd.client.start(startRequest({ name: 'other', ports })),
    isCode('host.port-taken'),
  )
})

test('evidence and status are passed on as the guest gave them', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await hostd.client.start(startRequest())
  await hostd.until('web', ({ state }) => state === 'running')
  const evidence = await hostd.client.evidence('web', new Uint8Array(32))
  assert.equal(evidence.evidenceJson, '{"nonce":32}')
  assert.equal(Buffer.from(evidence.channelKey, 'base64').toString(), 'channel')
  const status = await hostd.client.status('web')
  assert.equal(status.attestations, 1)
  assert.equal(status.token, 'ear')
})

test('evidence that is asked for as the guest ends is refused for that reason', async () => {
  await using machine = new FakeMachine({ behaviour: { GetEvidence: () => new Promise(() => {}) } })
  await using hostd = await startFixture(machine)
  await hostd.client.start(startRequest())
  await hostd.until('web', ({ state }) => state === 'running')
  const asked = hostd.client.evidence('web', new Uint8Array(32))
  setTimeout(() => machine.only.exit(0), 50)
  await assert.rejects(asked, isCode('workload.not-running'))
})

test('connect carries bytes to the guest and back', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await hostd.client.start(startRequest())
  await hostd.until('web', ({ state }) => state === 'running')
  const stream = await hostd.client.connect('web')
  const sent = Buffer.alloc(1 << 20, 'x')
  stream.end(sent)
  let received = 0
  for await (const chunk of stream) received += (chunk as Buffer).length
  assert.equal(received, sent.length)
})

test('the guest reaches the targets of the initdata and no others', async () => {
  const broker = createServer((socket) => socket.end('hello from the broker'))
  broker.listen(0, '127.0.0.1')
  await once(broker, 'listening')
  const { port } = broker.address() as { port: number }
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  const targets = { broker: { tcp: `127.0.0.1:${port}` }, other: { tcp: `127.0.0.1:${port}` } }
  await hostd.client.start(startRequest({ targets }))
  await hostd.until('web', ({ state }) => state === 'running')
  const mux = machine.only.mux
  assert.ok(mux)
  const stream = await mux.open('broker')
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(chunk as Buffer)
  stream.end()
  assert.equal(Buffer.concat(chunks).toString(), 'hello from the broker')
  await assert.rejects(mux.open('other'), { code: 'refused' })
  broker.close()
})

test('a running guest is led to where something of its targets has moved, also by the next hostd', async () => {
  await using oldPlace = await greeter('old')
  await using newPlace = await greeter('new')
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  const targets = { broker: { tcp: oldPlace.address } }
  await hostd.client.start(startRequest({ targets }))
  await hostd.until('web', ({ state }) => state === 'running')
  await hostd.client.vms.define(await defineRequest(hostd, { targets }))
  const move = { name: 'broker', from: oldPlace.address, to: newPlace.address }
  const moveTarget = async (body: MoveTarget) => await hostd.client.moveTarget(body)
  assert.deepEqual(await moveTarget({ ...move, name: 'registry' }), [])
  assert.deepEqual(await moveTarget({ ...move, from: newPlace.address }), [])
  assert.equal(await heard(machine, 'broker'), 'old')
  assert.deepEqual(await moveTarget(move), ['web', 'box'])
  assert.deepEqual(await moveTarget(move), [], 'nothing leads there any more')
  assert.equal(await heard(machine, 'broker'), 'new')
  await hostd.restart()
  await hostd.until('web', ({ state }) => state === 'running')
  assert.equal((await hostd.client.status('web')).attestations, 1)
  assert.equal(await heard(machine, 'broker'), 'new')
  await assert.rejects(moveTarget({ ...move, to: 'nowhere' }), { code: 'request.malformed' })
})

/** What a target says to the only guest. */
async function heard(machine: FakeMachine, target: string): Promise<string> {
  const { mux } = machine.only
  assert.ok(mux)
  const stream = await mux.open(target)
  const [chunk] = (await once(stream, 'data')) as [Buffer]
  stream.destroy()
  return chunk.toString()
}

test('a guest that gives up is reported with its code and its last stage', async () => {
  await using machine = new FakeMachine({
    stages: ['initrd', 'modules'],
    behaviour: { CreateSandbox: () => new Promise(() => {}) },
  })
  await using hostd = await startFixture(machine)
  await hostd.client.start(startRequest())
  await hostd.until('web', ({ stages }) => stages.length === 2)
  await machine.only.end('guest-shutdown', {
    guestCode: 'initdata.malformed',
    lastStage: 'modules',
  })
  const { error } = await hostd.until('web', ({ state }) => state === 'failed')
  assert.equal(error?.code, 'initdata.malformed')
  assert.match(error?.where ?? '', /modules/)
})

test('a VM that is killed, panics or gives an unknown code is reported so', async () => {
  const ends = [
    [{ reason: 'killed', signal: 'SIGKILL' }, 'guest.died'],
    [{ reason: 'guest-panic' }, 'guest.died'],
    [{ reason: 'guest-shutdown', guestCode: 'no.such-code' }, 'guest.code-unknown'],
  ] as const
  for (const [{ reason, ...more }, code] of ends) {
    await using machine = new FakeMachine()
    await using hostd = await startFixture(machine)
    await hostd.client.start(startRequest())
    await hostd.until('web', ({ state }) => state === 'running')
    await machine.only.end(reason, more)
    const { error } = await hostd.until('web', ({ state }) => state === 'failed')
    assert.equal(error?.code, code)
  }
})

/** Every stage of a start, and the time before the first. */
const UNTIL: readonly (StageName | 'launch')[] = [
  'launch',
  ...(Object.keys(STAGES) as StageName[]).filter((name) => STAGES[name] <= STAGES.ready),
]

describe('a guest that is lost', { concurrency: true }, () => {
  for (const [index, last] of UNTIL.entries()) {
    const stages = UNTIL.slice(1, index + 1) as StageName[]
    const never = { CreateSandbox: () => new Promise(() => {}) }

    test(`a guest that hangs after stage ${last} is ended in time, and its name is free`, async () => {
      const deadlines = { [last]: 50 }
      await using machine = new FakeMachine({ stages, deadlines, behaviour: never })
      await using hostd = await startFixture(machine)
      await hostd.client.start(startRequest())
      const { error } = await hostd.until('web', ({ state }) => state === 'failed')
      assert.equal(error?.code, 'guest.stage-timeout')
      assert.equal(error?.where, guestPlace(last))
      assert.ok((error?.fix ?? []).length > 0)
      assert.ok(machine.only.isGone)
      await hostd.client.remove('web')
      assert.deepEqual(await hostd.client.list(), [])
    })

    test(`a guest that panics after stage ${last} is reported with it`, async () => {
      await using machine = new FakeMachine({ stages, behaviour: never })
      await using hostd = await startFixture(machine)
      await hostd.client.start(startRequest())
      await hostd.until('web', (view) => view.stages.length === stages.length)
      // Before its first stage a workload looks as it did before its VM was there.
      while (machine.guests.size === 0) await sleep(5)
      await machine.only.end('guest-panic')
      const { error } = await hostd.until('web', ({ state }) => state === 'failed')
      assert.equal(error?.code, 'guest.died')
      assert.equal(error?.where, guestPlace(last))
      assert.match(error?.why ?? '', /panicked/)
    })
  }
})

test('a refusal of the guest carries its code and the request id for the audit log', async () => {
  await using machine = new FakeMachine({
    behaviour: {
      CreateContainer: () => {
        throw new TtrpcError(STATUS.permissionDenied, 'blocked by policy')
      },
      GetStatus: () => ({ requestId: 'req-1' }),
    },
  })
  await using hostd = await startFixture(machine)
  await hostd.client.start(startRequest())
  const { error } = await hostd.until('web', ({ state }) => state === 'failed')
  assert.equal(error?.code, 'guest.refused')
  assert.equal(error?.requestId, 'req-1')
})

test('the socket is its user’s alone and hostd runs once for a home', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  assert.equal((await stat(hostd.daemon.socketPath)).mode & 0o777, 0o600)
  const places = directories({
    CLOISTER_HOME: hostd.home,
    CLOISTER_RUNTIME_DIR: join(hostd.home, 'r2'),
  })
  await assert.rejects(
    startDaemon({ directories: places, backend: machine.backend(), log: () => undefined }),
    isCode('hostd.already-running'),
  )
})

test('info counts workloads; shutdown is asked by a call', async () => {
  await using machine = new FakeMachine()
  await using hostd = await startFixture(machine)
  await hostd.client.start(startRequest())
  const info = await hostd.client.info()
  assert.deepEqual(info.workloads, { live: 1, ended: 0 })
  await hostd.client.shutdown()
  await hostd.daemon.shutdownAsked
})
